"""The base of every error this package raises; a leaf lives beside the noun it is about.

InfraError
├── config_files.ConfigError       a configuration file that cannot be used, with path, line and key
├── file_roots.FileForbidden       a path that jobs may not use
├── hosts.HostNotFound             a host that no file defines
├── controllers.ControllerNotFound a controller that no file defines
└── controller_errors.ControllerError   the machine of a host, or what controls it
"""


class InfraError(Exception):
    """Something about a machine or its configuration is not as asked."""

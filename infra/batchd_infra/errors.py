"""The base of every error this package raises; a leaf lives beside the noun it is about.

InfraError
├── config_files.ConfigError       a configuration file that cannot be used, with path, line and key
└── hosts.HostNotFound             a host that no file defines
"""


class InfraError(Exception):
    """Something about a machine or its configuration is not as asked."""

"""The one place that names the version; every package reads it from here or from its metadata."""

__version__ = "0.1.0"

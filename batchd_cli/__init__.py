"""The `batch` command line: speaks HTTP to a manager and imports nothing else of the project."""

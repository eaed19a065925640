"""`client.yaml` read to texts and lines, not to Python values: `password: 0123` keeps its zero."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from batchd_cli.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One key's value as it stands in the file (None for null), and its line."""

    text: str | None
    line: int


def read(path: Path) -> dict[str, Entry]:
    """The entries by key. Errors: ConfigError with file, line and field."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {error}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:1: must be keys and values")
    return {key.value: _entry(path, key, value) for key, value in root.value}


def _entry(path: Path, key: yaml.Node, value: yaml.Node) -> Entry:
    line = value.start_mark.line + 1
    if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
        raise ConfigError(f"{path}:{line}: {key.value!r} must be one value, not a list or a mapping")
    null = value.tag == "tag:yaml.org,2002:null"
    return Entry(text=None if null else value.value, line=line)

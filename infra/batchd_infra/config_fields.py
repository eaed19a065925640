"""Typed reading of a configuration mapping: each reader takes a key and knows its line.

`null` counts as absent, as it did in the original. A `Fields` remembers which keys were asked for; `finish()`
turns the rest into warnings with the nearest known key. Messages show values of numbers,
durations and closed lists only, never those of text fields, which may be secrets.
"""

import difflib
import enum
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from batchd_infra.config_nodes import ConfigError, ConfigWarning, Mapping, Node, Scalar, Sequence
from batchd_infra.quantities import MAX_DURATION_SECONDS, MAX_SIZE_BYTES, bytes_of, seconds_of

EnumType = TypeVar("EnumType", bound=enum.Enum)
Value = TypeVar("Value")

_TRUE = frozenset({"true", "yes", "on", "y"})
_FALSE = frozenset({"false", "no", "off", "n"})
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")


def time_text(value: str | int) -> str | None:
    """A time of day as `HH:MM:SS`, or None. Takes back what YAML 1.1 readers make of `22:00:00`: 79200."""
    if isinstance(value, int) or (value.isascii() and value.isdecimal() and len(value) <= 6):
        seconds = int(value)
        hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
    elif match := _TIME.fullmatch(value.strip()):
        hour, minute, second = (int(part or 0) for part in match.groups())
    else:
        return None
    valid = 0 <= hour < 24 and minute < 60 and second < 60
    return f"{hour:02}:{minute:02}:{second:02}" if valid else None


def given_or(value: Value | None, default: Value) -> Value:
    """`value`, unless the file does not give one; 0 and "" are given."""
    return default if value is None else value


class Fields:
    """One mapping of a file. `prefix` is its own place (`manager.web_client`), for messages."""

    def __init__(self, path: Path, mapping: Mapping, warnings: list[ConfigWarning], prefix: str = "") -> None:
        self.path = path
        self.line = mapping.line
        self.warnings = warnings
        self.prefix = prefix
        self._mapping = mapping
        self._asked: dict[str, None] = {}
        self._sections: dict[str, Fields] = {}

    def __contains__(self, key: str) -> bool:
        return self._node(key) is not None

    def given_keys(self) -> tuple[str, ...]:
        """The keys that stand in the file."""
        return tuple(self._mapping.entries)

    def asked(self) -> tuple[str, ...]:
        """The keys that a loader has looked for so far, with their places; sections as their keys."""
        result: list[str] = []
        for key in self._asked:
            inner = self._sections[key].asked() if key in self._sections else ()
            result += inner or [self._full(key)]
        return tuple(result)

    def line_of(self, key: str) -> int:
        return self._mapping.lines.get(key, self.line)

    def error(self, key: str, message: str) -> ConfigError:
        return ConfigError(self.path, self.line_of(key), self._full(key), message)

    def warn(self, key: str, message: str) -> None:
        self.warnings.append(ConfigWarning(self.path, self.line_of(key), self._full(key), message))

    def finish(self, also_known: Iterable[str] = ()) -> None:
        """Warn of every key that nobody asked for."""
        known = [*self._asked, *also_known]
        for key in self._mapping.entries:
            if key not in known:
                nearest = difflib.get_close_matches(key[:80], known, n=1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
                self.warn(key, f"unknown key, it has no effect{hint}")

    # Readers

    def text(self, key: str) -> str | None:
        """A scalar as it stands in the file: `yes`, `007` and `22:00:00` unquoted are these texts."""
        node = self._node(key)
        return None if node is None else self._scalar(key, node)

    def required_text(self, key: str) -> str:
        value = self.text(key)
        if not value:
            raise self.error(key, "is missing")
        return value

    def integer(self, key: str, *, minimum: int = 0, maximum: int = 2**31 - 1) -> int | None:
        text = self.text(key)
        if text is None:
            return None
        if not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
            raise self.error(key, f"must be a whole number, not {_shown(text)}")
        if not minimum <= int(text) <= maximum:
            raise self.error(key, f"must be from {minimum} to {maximum}, not {int(text)}")
        return int(text)

    def boolean(self, key: str) -> bool | None:
        text = self.text(key)
        if text is None:
            return None
        if text.lower() not in _TRUE | _FALSE:
            raise self.error(key, f"must be true or false, not {_shown(text)}")
        return text.lower() in _TRUE

    def choice(self, key: str, options: type[EnumType]) -> EnumType | None:
        """A member of an enum of texts, in any case."""
        text = self.text(key)
        if text is None:
            return None
        for option in options:
            if str(option.value).lower() == text.lower():
                return option
        raise self.error(
            key, f"must be one of {', '.join(str(o.value) for o in options)}, not {_shown(text)}"
        )

    def seconds(self, key: str, *, unit_seconds: float = 1) -> float | None:
        """A duration: a number of `unit_seconds`, or a number with a unit (`90 s`, `5 min`, `2 h`, `3 d`)."""
        text = self.text(key)
        if text is None:
            return None
        value = seconds_of(text, unit_seconds=unit_seconds)
        if value is None:
            raise self.error(key, f"must be a number, perhaps with a unit as in '5 min', not {_shown(text)}")
        if value > MAX_DURATION_SECONDS:
            raise self.error(key, "is longer than a hundred years")
        return value

    def size_bytes(self, key: str) -> int | None:
        """A size: a number of bytes, or a number with a unit (`500M`, `2 GiB`)."""
        text = self.text(key)
        if text is None:
            return None
        value = bytes_of(text)
        if value is None or value > MAX_SIZE_BYTES:
            raise self.error(key, f"must be a size such as 500M or 2G, not {_shown(text)}")
        return value

    def time(self, key: str) -> str | None:
        """A time of day as `HH:MM:SS`, quoted or not."""
        text = self.text(key)
        if text is None:
            return None
        found = time_text(text)
        if found is None:
            raise self.error(key, f"must be a time such as 22:00:00, not {_shown(text)}")
        return found

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts; one text stands for a list of one."""
        node = self._node(key)
        if node is None:
            return None
        items = node.items if isinstance(node, Sequence) else (node,)
        return tuple(self._scalar(key, item) for item in items)

    def text_map(self, key: str) -> dict[str, str]:
        """Name → text; a null value is the empty text. Empty if the key is absent."""
        section = self._mapping_at(key)
        return (
            {}
            if section is None
            else {n: self._scalar(key, v, empty=True) for n, v in section.entries.items()}
        )

    def section(self, key: str) -> "Fields":
        """The mapping under `key`; an empty one if it is absent."""
        if key not in self._sections:
            section = self._mapping_at(key) or Mapping({}, {}, self.line_of(key), 1)
            self._sections[key] = Fields(self.path, section, self.warnings, self._full(key))
        return self._sections[key]

    def sections(self, key: str) -> tuple["Fields", ...]:
        """A list of mappings."""
        node = self._node(key)
        if node is None:
            return ()
        if not isinstance(node, Sequence):
            raise self.error(key, f"must be a list, not {_kind(node)}")
        return tuple(self._item(key, position, item) for position, item in enumerate(node.items, 1))

    def is_mapping(self, key: str) -> bool:
        return isinstance(self._node(key), Mapping)

    def is_list(self, key: str) -> bool:
        return isinstance(self._node(key), Sequence)

    def plain(self, key: str) -> Any:
        """The value as dicts, lists and texts, for what another component will read."""
        node = self._node(key)
        return None if node is None else _plain(node)

    def _full(self, key: str) -> str:
        return f"{self.prefix}.{key}" if self.prefix else key

    def _node(self, key: str) -> Node | None:
        self._asked[key] = None
        node = self._mapping.entries.get(key)
        return None if isinstance(node, Scalar) and node.is_null else node

    def _scalar(self, key: str, node: Node, *, empty: bool = False) -> str:
        if not isinstance(node, Scalar):
            raise ConfigError(self.path, node.line, self._full(key), f"must be one text, not {_kind(node)}")
        if "\0" in node.text:
            raise ConfigError(self.path, node.line, self._full(key), "contains a NUL character")
        return "" if empty and node.is_null else node.text

    def _mapping_at(self, key: str) -> Mapping | None:
        node = self._node(key)
        if node is None or isinstance(node, Mapping):
            return node
        raise self.error(key, f"must hold 'name: value' lines, not {_kind(node)}")

    def _item(self, key: str, position: int, node: Node) -> "Fields":
        place = f"{self._full(key)}[{position}]"
        if not isinstance(node, Mapping):
            raise ConfigError(
                self.path, node.line, place, f"must hold 'name: value' lines, not {_kind(node)}"
            )
        return Fields(self.path, node, self.warnings, place)


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "nothing" if node.is_null else "one text"
    return "a list" if isinstance(node, Sequence) else "a mapping"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        return None if node.is_null else node.text
    if isinstance(node, Sequence):
        return [_plain(item) for item in node.items]
    return {key: _plain(value) for key, value in node.entries.items()}

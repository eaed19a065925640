"""YAML text → nodes that know their line, within bounds, and nothing that could run code.

The tree is built from the parser's events, not by PyYAML's composer: that recurses without a bound, follows
aliases without counting, keeps the last of two equal keys and turns scalars into numbers before anyone knows
what was meant (`22:00:00` into 79200). Here a scalar stays the text that stands in the file; the reader of a
field decides what it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from batchd_infra.errors import InfraError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000  # after aliases and merges are expanded
MAX_INTEGER_DIGITS = 100

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = {None, "!"} | {
    f"tag:yaml.org,2002:{t}" for t in ("str", "int", "bool", "float", "null", "map", "seq")
}
_LONG_INTEGER = re.compile(rf"[-+]?[0-9_]{{{MAX_INTEGER_DIGITS + 1},}}")
_KEY_AT_LINE_START = re.compile(r"\s*(?:- +)?([\w.-]+)\s*:")


class ConfigError(InfraError):
    """A configuration file that cannot be used; the text is `FILE:LINE: key: sentence`."""

    severity = "error"

    def __init__(self, path: Path, line: int, key: str, message: str) -> None:
        self.path = path
        self.line = line
        self.key = key
        self.message = message
        super().__init__(_problem_text(path, line, key, message))


@dataclass(frozen=True)
class ConfigWarning:
    """Something in a configuration file that is used, but not as its author may think."""

    path: Path
    line: int
    key: str
    message: str
    severity = "warning"

    def __str__(self) -> str:
        return _problem_text(self.path, self.line, self.key, self.message)


def _problem_text(path: Path, line: int, key: str, message: str) -> str:
    return f"{path}:{line}: {key}: {message}" if key else f"{path}:{line}: {message}"


@dataclass(frozen=True)
class Scalar:
    text: str
    plain: bool
    line: int
    size: int = 1

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Sequence:
    items: "tuple[Node, ...]"
    line: int
    size: int


@dataclass(frozen=True)
class Mapping:
    """`lines` holds the line of each key, which for a long value is not the value's own."""

    entries: "dict[str, Node]"
    lines: dict[str, int] = field(repr=False)
    line: int
    size: int


Node = Scalar | Sequence | Mapping


def parse(path: Path, data: bytes) -> Mapping:
    """The mapping that a file holds; an empty file is an empty mapping. Raises ConfigError only."""
    text = _decoded(path, data)
    try:
        root = _Builder(path, text).document()
    except yaml.YAMLError as error:
        raise _syntax_error(path, text, error) from error
    if root is None or (isinstance(root, Scalar) and root.is_null):
        return Mapping({}, {}, 1, 1)
    if not isinstance(root, Mapping):
        raise ConfigError(path, root.line, "", "the file must consist of 'key: value' lines")
    return root


def _decoded(path: Path, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigError(path, 1, "", f"the file is larger than {MAX_BYTES // 1024} KiB")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(path, 1, "", "the file begins with a byte order mark; save it as UTF-8 without one")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, line, "", "the file is not UTF-8 text") from error


def _syntax_error(path: Path, text: str, error: yaml.YAMLError) -> ConfigError:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        message = f"not valid YAML: {error.problem or error.context}"
    else:  # a character that YAML does not allow
        position = getattr(error, "position", 0) or 0
        line = text.count("\n", 0, position) + 1
        message = f"not valid YAML: {getattr(error, 'reason', None) or 'a character that is not allowed'}"
    lines = text.split("\n")[:line]
    # The parser complains where it noticed; a tab in the indentation may stand a line before.
    for number in range(len(lines), max(len(lines) - 2, 0), -1):
        indentation = re.match(r"\s*", lines[number - 1])
        if indentation and "\t" in indentation.group():
            line, message = number, "a tab stands where only spaces may indent"
            break
    keys = (
        match.group(1)
        for text_line in reversed(lines[:line])
        if (match := _KEY_AT_LINE_START.match(text_line))
    )
    return ConfigError(path, line, next(keys, ""), message)


def _line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Builder:
    """Events → nodes. Each anchor's size counts again at every alias, so bombs stop at the first too many."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, Node | None] = {}  # None: begun, not finished
        self._keys: list[str] = []
        self._nodes = 0

    def document(self) -> Node | None:
        root = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self._error(event, "a file holds one document, and a second one begins here")
                root = self._node(next(self._events), 0)
        return root

    def _error(self, event: yaml.Event, message: str) -> ConfigError:
        return ConfigError(self._path, _line_of(event), ".".join(self._keys), message)

    def _count(self, event: yaml.Event, size: int) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise self._error(event, f"the file has more than {MAX_NODES} values, aliases counted each time")

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._check(event, depth)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _check(self, event: yaml.Event, depth: int) -> None:
        self._count(event, 1)
        if depth > MAX_DEPTH:
            raise self._error(event, f"values are nested more than {MAX_DEPTH} deep")
        tag = getattr(event, "tag", None)
        if tag not in _TAGS:
            raise self._error(event, f"the tag {str(tag)[:80]!r} is not allowed here")

    def _alias(self, event: yaml.AliasEvent) -> Node:
        name = event.anchor or ""
        node = self._anchors.get(name)
        if node is None:
            known = "stands inside of what it names" if name in self._anchors else "names nothing"
            raise self._error(event, f"the alias '*{name[:80]}' {known}")
        self._count(event, node.size)
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        plain = not event.style
        if plain and _LONG_INTEGER.fullmatch(event.value):
            raise self._error(event, f"a whole number has at most {MAX_INTEGER_DIGITS} digits")
        return Scalar(event.value, plain, _line_of(event))

    def _sequence(self, event: yaml.Event, depth: int) -> Sequence:
        items = []
        while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(inner, depth + 1))
        return Sequence(tuple(items), _line_of(event), 1 + sum(i.size for i in items))

    def _mapping(self, event: yaml.Event, depth: int) -> Mapping:
        own: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: list[Mapping] = []
        while not isinstance(key_event := next(self._events), yaml.MappingEndEvent):
            key = self._key(key_event, depth)
            self._keys.append(key.text)
            if key.text in own:
                raise self._error(key_event, f"the key stands twice, first on line {lines[key.text]}")
            value = self._node(next(self._events), depth + 1)
            if key.plain and key.text == "<<":
                merged += self._merge_sources(key_event, value)
            else:
                own[key.text], lines[key.text] = value, key.line
            self._keys.pop()
        size = 1 + sum(v.size for v in own.values())
        for source in merged:  # what stands in the mapping itself wins, then the earlier source
            self._count(event, source.size)
            size += source.size
            own = source.entries | own
            lines = source.lines | lines
        return Mapping(own, lines, _line_of(event), size)

    def _key(self, event: yaml.Event, depth: int) -> Scalar:
        key = self._node(event, depth + 1)
        if not isinstance(key, Scalar):
            raise self._error(event, "a key must be a plain word")
        return key

    def _merge_sources(self, event: yaml.Event, value: Node) -> list[Mapping]:
        sources = value.items if isinstance(value, Sequence) else (value,)
        mappings = [source for source in sources if isinstance(source, Mapping)]
        if len(mappings) != len(sources):
            raise self._error(event, "only mappings can be merged with '<<'")
        return mappings

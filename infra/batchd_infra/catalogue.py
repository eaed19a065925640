"""Records by name, as loaded from files: the only place where a name from a request is looked up."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

MAX_SHOWN_NAME = 128


class Named(Protocol):
    @property
    def name(self) -> str: ...


Record = TypeVar("Record", bound=Named)
NotFound = Callable[[str, str | None], Exception]


class Catalogue(Generic[Record]):
    """Iterates in the order of the names. `aliases` are names of files that differ from the name inside."""

    def __init__(self, records: Iterable[Record], aliases: Mapping[str, str], not_found: NotFound) -> None:
        self._by_name = {r.name: r for r in sorted(records, key=lambda r: r.name)}
        self._aliases = {a: n for a, n in aliases.items() if a not in self._by_name and n in self._by_name}
        self._not_found = not_found

    def get(self, name: str) -> Record:
        """The record called `name`, else the one whose file is; else `not_found(name, nearest)` is raised."""
        found = self._by_name.get(self._aliases.get(name, name))
        if found is None:
            nearest = difflib.get_close_matches(name[:MAX_SHOWN_NAME], self._by_name, n=1)
            raise self._not_found(name, nearest[0] if nearest else None)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._by_name or name in self._aliases

    def __iter__(self) -> Iterator[Record]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def not_found_sentence(kind: str, name: str, nearest: str | None) -> str:
    hint = f"; the nearest is {nearest!r}" if nearest else ""
    return f"there is no {kind} {name[:MAX_SHOWN_NAME]!r}{hint}"

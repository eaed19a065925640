"""What every record of the REST contract is made of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from inspect import get_annotations
from typing import Any, ClassVar, Self, dataclass_transform

from batchd_cli.errors import ProtocolError


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """A record made from an answer: the class names what it wants, the answer may have more.

    What a frozen, keyword-only dataclass is, without the code that `dataclass` compiles for each class when
    it is imported: with so many records that is a fifth of the time in which `batch` starts.
    """

    _names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        own = (name for name in get_annotations(cls) if name not in cls._names)
        cls._names = (*cls._names, *own)

    def __init__(self, **values: Any) -> None:
        kind = type(self)
        if unknown := values.keys() - set(kind._names):
            raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
        missing = [name for name in kind._names if name not in values and not hasattr(kind, name)]
        if missing:
            raise TypeError(f"{kind.__name__} wants {', '.join(missing)}")
        self.__dict__.update(
            {name: values[name] if name in values else getattr(kind, name) for name in kind._names}
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is not changed: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is not changed: {name}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self._names)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__name__}({shown})"

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Errors: ProtocolError for an answer that is no such record."""
        if not isinstance(data, Mapping):
            raise ProtocolError(f"expected a {cls.__name__.lower()}, got {str(data)[:80]!r}")
        known = {name: data[name] for name in cls._names if name in data}
        try:
            return cls(**{name: cls._value(name, value) for name, value in known.items()})
        except (TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(f"a {cls.__name__.lower()} that lacks something: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """The record with the keys and the times of the wire."""
        return {name: plain(getattr(self, name)) for name in self._names}

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        return parse_time(value) if isinstance(value, str) and name in cls._times() else value

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset()


def parse_time(text: str) -> datetime:
    """A time of the wire: UTC, with or without a fraction and a `Z`."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def format_time(time: datetime) -> str:
    """A time for the wire: UTC, six digits, `Z`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: object) -> Any:
    """A value of a record as JSON has it."""
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, datetime):
        return format_time(value)
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value

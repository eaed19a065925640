"""A command as it goes to a worker on another machine, in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from batchd_flows.supervisor import Launch


@dataclass(frozen=True, kw_only=True)
class AttemptOrder:
    """`environment` is the job's own: the worker's comes below it."""

    script: str
    environment: Mapping[str, str]
    working_directory: str | None = None
    timeout_seconds: float | None = None
    silence_seconds: float | None = None
    kill_after_seconds: float = 10
    output_limit_bytes: int | None = None

    @classmethod
    def of(cls, launch: Launch) -> Self:
        return cls(**{name: getattr(launch, name) for name in cls.__dataclass_fields__})

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Self:
        return cls(**{name: known[name] for name in cls.__dataclass_fields__ if name in known})

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"environment": dict(self.environment)}

    def launch(self, folder: Path, surroundings: Mapping[str, str]) -> Launch:
        return Launch(folder=folder, **self.as_json() | {"environment": {**surroundings, **self.environment}})

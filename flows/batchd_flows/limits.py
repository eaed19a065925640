"""How long a command may run and be silent, how it is ended, and how much of its output is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

KILL_AFTER_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """None: nothing is said here. 0: no such limit; for `kill_after_seconds`, KILL at once.

    `output_limit_bytes` is per stream.
    """

    timeout_seconds: float | None = None
    silence_seconds: float | None = None
    kill_after_seconds: float | None = None
    output_limit_bytes: int | None = None

    @classmethod
    def of(cls, record: object) -> Limits:
        """What a job's row, a job type or a host says: its fields of these names."""
        return cls(**{name: getattr(record, name, None) for name in LIMIT_NAMES})

    def before(self, other: Limits) -> Limits:
        """These; the other's where these say nothing."""
        mine = asdict(self)
        return Limits(**{name: getattr(other, name) if mine[name] is None else mine[name] for name in mine})

    @property
    def grace_seconds(self) -> float:
        return KILL_AFTER_SECONDS if self.kill_after_seconds is None else self.kill_after_seconds


LIMIT_NAMES = tuple(field.name for field in fields(Limits))

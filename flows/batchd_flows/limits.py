"""How long a command may run and be silent, how it is ended, and how much of its output is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields

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
        return cls(**{field.name: getattr(record, field.name, None) for field in fields(cls)})

    def before(self, other: Limits) -> Limits:
        """These; the other's where these say nothing."""
        mine = {field.name: getattr(self, field.name) for field in fields(self)}
        return Limits(
            **{name: getattr(other, name) if value is None else value for name, value in mine.items()}
        )

    @property
    def grace_seconds(self) -> float:
        return KILL_AFTER_SECONDS if self.kill_after_seconds is None else self.kill_after_seconds

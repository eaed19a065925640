"""Wishes to be told of something, as clients send them, as rows keep them, as records show them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from batchd_api.errors import Invalid
from batchd_flows.notices import Notice, NoticeEvent

Stored = list[dict[str, str]]


def stored(notices: Sequence[Notice], targets: Collection[str]) -> Stored | None:
    """With their targets named; Invalid for one that no configuration names. None for no wish."""
    if not notices:
        return None
    return [{"event": one.event.value, "target": _target(one, targets)} for one in notices]


def _target(one: Notice, targets: Collection[str]) -> str:
    if not targets:
        raise Invalid("Nobody can be told of anything here: batchd.yaml has no notify.targets.")
    known = ", ".join(sorted(targets))
    if one.target is None and len(targets) == 1:
        return next(iter(targets))
    if one.target is None:
        raise Invalid(f'Who shall be told? Write "{one.event.value}:TARGET"; there is {known}.')
    if one.target not in targets:
        raise Invalid(f'There is no target "{one.target}" to notify; there is {known}.')
    return one.target


def read_back(rows: Stored | None) -> tuple[Notice, ...]:
    return tuple(Notice(event=NoticeEvent(row["event"]), target=row["target"]) for row in rows or ())


def shown(rows: Stored | None) -> list[str] | None:
    return None if rows is None else [str(one) for one in read_back(rows)]

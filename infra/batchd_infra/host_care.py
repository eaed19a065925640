"""What is to be done about a host now: one pure function of what is known of it and who wants it."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta

from batchd_infra.host_ledger import HostEntry, HostPhase, Use, Wish
from batchd_infra.hosts import Host

RETRY_MINUTES = (1, 5, 15, 30)  # after so many failures; the last one again and again
FAULT_SECONDS = 3.0  # how long a fault fails those who have waited; whoever comes later tries anew


class Care(enum.StrEnum):
    NOTHING = "nothing"
    GET_READY = "get ready"
    STOP = "stop"
    REST = "rest"  # it was without jobs for its time, and is not ours to stop
    NOTE_IDLE = "note idle"
    NOTE_BUSY = "note busy"
    FORGET_FAULT = "forget fault"
    GRANTED = "granted"  # what a person has asked for is so
    ALARM = "alarm"  # a machine of ours that nobody can stop


def due(host: Host, entry: HostEntry, use: Use, now: datetime, *, can_stop: bool) -> Care:
    """Nobody is at work on it just now: a start or stop that was interrupted is begun again."""
    phase = entry.phase
    if phase is HostPhase.STARTING:
        return Care.GET_READY
    if _is_granted(entry, use, can_stop=can_stop):
        return Care.GRANTED
    if phase is HostPhase.STOPPING and entry.alarm and entry.wish is Wish.START:
        return Care.GET_READY  # it does not stop, and somebody wants it: whatever it does is waited for
    if phase is HostPhase.STOPPING or _is_to_be_stopped_by_hand(entry, use, can_stop=can_stop):
        return Care.STOP
    if entry.fault and phase is HostPhase.READY and not _is_fresh(entry, now):
        return Care.FORGET_FAULT
    if _is_wanted(entry, use) and _may_try(entry, now):
        return Care.GET_READY
    if use:
        return Care.NOTE_BUSY if entry.idle_since else Care.NOTHING
    return _idle(host, entry, now, can_stop=can_stop)


def due_to_leave(entry: HostEntry, use: Use, *, can_stop: bool) -> Care:
    """Of a machine that no file means any more, or whose controller has no file."""
    if use.running:
        return Care.NOTHING
    if can_stop and entry.ours:
        return Care.STOP
    if entry.wish is Wish.STOP:
        return Care.GRANTED
    return Care.ALARM if entry.ours else Care.NOTHING


def _is_granted(entry: HostEntry, use: Use, *, can_stop: bool) -> bool:
    if entry.wish is Wish.STOP:
        return not can_stop and not use.running
    return entry.wish is Wish.START and entry.phase is HostPhase.READY and not entry.fault


def _is_to_be_stopped_by_hand(entry: HostEntry, use: Use, *, can_stop: bool) -> bool:
    return entry.wish is Wish.STOP and can_stop and not use.running


def _is_wanted(entry: HostEntry, use: Use) -> bool:
    """Also by jobs that ran there when it was lost: what became of them is asked of the machine itself."""
    return entry.wish is Wish.START or use.running > 0 or (use.called > 0 and not entry.draining)


def _may_try(entry: HostEntry, now: datetime) -> bool:
    if entry.phase is HostPhase.FAILED:
        return entry.wish is Wish.START or entry.next_try is None or entry.next_try <= now
    return entry.phase is HostPhase.OFF


def _idle(host: Host, entry: HostEntry, now: datetime, *, can_stop: bool) -> Care:
    is_on = entry.phase is HostPhase.READY or entry.ours
    if not is_on:
        return Care.NOTHING
    if not can_stop and entry.phase is not HostPhase.READY:
        return Care.ALARM
    if entry.idle_since is None:
        return Care.NOTE_IDLE
    if now - entry.idle_since < timedelta(seconds=host.shutdown_timeout_seconds):
        return Care.NOTHING
    if can_stop and (entry.ours or host.stop_foreign):
        return Care.STOP
    return Care.REST if entry.phase is HostPhase.READY else Care.NOTHING


def _is_fresh(entry: HostEntry, now: datetime) -> bool:
    return entry.since is not None and now - entry.since < timedelta(seconds=FAULT_SECONDS)


def idle_until(host: Host, entry: HostEntry) -> datetime | None:
    """When it is stopped if no job comes."""
    if entry.idle_since is None or not (entry.ours or host.stop_foreign):
        return None
    return entry.idle_since + timedelta(seconds=host.shutdown_timeout_seconds)


def next_try(failures: int, now: datetime) -> datetime:
    return now + timedelta(minutes=RETRY_MINUTES[min(failures, len(RETRY_MINUTES)) - 1])

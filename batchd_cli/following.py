"""A job's output printed as it comes, to the job's end."""

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby

from batchd_cli.client import Client, Job, OutputEvent, StatusEvent
from batchd_cli.errors import NotFound
from batchd_cli.job_table import progress_sentence, reason_sentence
from batchd_cli.output import print_json_line
from batchd_cli.progress import Progress, progress
from batchd_cli.records import ENDED, NoteEvent
from batchd_cli.session import Session
from batchd_cli.streaming import KINDS, Event
from batchd_cli.waiting import own_code

STREAMS = ("stdout", "stderr")


def follow_job(session: Session, number: int, *, last_lines: int | None = None) -> int:
    """Print what comes, stdout to stdout and stderr to stderr; the job's own exit code.

    With `last_lines` only so many lines of what it has printed already.
    """
    client = session.client
    events = client.follow(number)
    if last_lines is not None:
        events = tail(events, last_lines, _printed(client, number))
    try:
        with progress(session) as shown:
            for event in events:
                _show(session, number, event, shown)
    except KeyboardInterrupt:
        session.hint(
            f"job {number} goes on: `batch logs {number} -f` follows it, `batch cancel {number}` ends it"
        )
        raise
    job = client.job(number)
    if session.json:
        print_json_line({"event": "end", **job.to_json()})
    tell_end(session, job)
    return own_code(job)


def _show(session: Session, number: int, event: Event, shown: Progress) -> None:
    if session.json:
        kind = next(kind for kind, record in KINDS.items() if isinstance(event, record))
        print_json_line({"event": kind, "id": number, **event.to_json()})
    elif isinstance(event, NoteEvent):
        shown.hide()
        session.hint(event.text.rstrip())
    elif isinstance(event, OutputEvent):
        shown.hide()
        write(event)
    elif event.status in ENDED:
        shown.hide()
    elif event.status == "Processing":
        shown.hide()
        session.say(f"job {number} runs")
    else:
        shown.say(waiting_sentence(number, event))


def write(event: OutputEvent) -> None:
    """As it is, where it was written to."""
    stream = sys.stderr if event.stream == "stderr" else sys.stdout
    stream.write(event.text)
    stream.flush()


def waiting_sentence(number: int, state: StatusEvent | Job) -> str:
    reason = reason_sentence(state.reason) or (progress_sentence(state) if isinstance(state, Job) else None)
    return f"job {number} is {state.status}" + (f": {reason}" if reason else "")


def tell_end(session: Session, job: Job) -> None:
    """How it ended: a failure always, the rest where people look on."""
    if job.status == "Done":
        session.next_step(f"job {job.id} is Done")
        return
    why = reason_sentence(job.reason) or (f"exit code {job.exit_code}" if job.exit_code is not None else "")
    session.hint(f"job {job.id} has failed" + (f": {why}" if why else ""))
    session.next_step(f"`batch retry {job.id}` runs it again")


def _printed(client: Client, number: int) -> dict[str, int]:
    """How many bytes of each stream there are already."""
    try:
        return {stream: client.output_size_bytes(number, stream) for stream in STREAMS}
    except NotFound:  # it has not run yet
        return {}


def tail(events: Iterable[Event], lines: int, printed: dict[str, int]) -> Iterator[Event]:
    """The events, of what was `printed` before (bytes by stream, of the latest attempt) only the last lines.

    Events of earlier attempts come first, so what counts is the attempt that reaches these sizes.
    """
    missing = {stream for stream, size in printed.items() if size}
    held = list[OutputEvent]()
    attempt = 0
    for event in events:
        if not missing or isinstance(event, NoteEvent):
            yield event
            continue
        if isinstance(event, StatusEvent):
            attempt = max(attempt, event.attempt)
            continue
        if event.attempt != attempt:
            attempt, held = event.attempt, []
        held.append(event)
        if event.offset + len(event.text.encode()) >= printed[event.stream]:
            missing.discard(event.stream)
        if not missing:
            yield from last_lines(held, lines)
    if missing:
        yield from last_lines(held, lines)


def last_lines(events: Iterable[OutputEvent], count: int) -> list[OutputEvent]:
    """The last lines as events of their own."""
    whole = list[OutputEvent]()
    for _, pieces in groupby(events, key=lambda event: event.stream):
        together = list(pieces)
        text = "".join(piece.text for piece in together)
        whole += [
            OutputEvent(
                attempt=together[0].attempt, stream=together[0].stream, offset=together[0].offset, text=line
            )
            for line in text.splitlines(keepends=True)
        ]
    return whole[-count:] if count else []

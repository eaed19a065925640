"""/job/:id/output, /job/:id/stream"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from batchd_api.answers import dump
from batchd_api.dependencies import TheServices, job_id_of
from batchd_api.queries import output_wanted
from batchd_api.ranges import parse_range
from batchd_api.services.follow import Event, Follower, Place

LOOK_SECONDS = 0.5
SIGN_OF_LIFE_SECONDS = 15.0
LONGEST_STREAM_SECONDS = 3600.0  # then the client comes again, and is judged again


def get_output(request: Request, services: TheServices, job_id: str) -> Response:
    """The bytes as they were written. `offset` is where the answer begins; a Range is counted from there.

    `X-Output-Cut: true`: the command wrote more, which was not kept.
    """
    wanted = output_wanted(request.query_params)
    found = services.outputs.find(job_id_of(job_id), wanted)
    first = min(wanted.offset, found.size_bytes)
    size = found.size_bytes - first
    headers = {"X-Attempt": str(found.attempt), "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    headers |= {"X-Output-Cut": "true"} if found.is_cut else {}
    part = parse_range(request.headers.get("range"), size)
    begin, end = part or (0, size)
    if part and begin >= end:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    if part:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - begin)
    pieces = services.outputs.pieces(found, first + begin, first + end)
    return StreamingResponse(pieces, 206 if part else 200, headers, "application/octet-stream")


async def follow_job(request: Request, services: TheServices, job_id: str) -> StreamingResponse:
    """Server-sent events; between two looks a listener costs no thread."""
    number, last = job_id_of(job_id), request.headers.get("last-event-id")
    place = await run_in_threadpool(services.follower.place, number, last)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    services.follower.enter()
    events = _events(services.follower, number, place)
    return _Listening(events, headers=headers, on_end=services.follower.leave)


class _Listening(StreamingResponse):
    """Says when its client has gone, also one that went before the first byte."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(
        self, events: AsyncIterator[bytes], *, headers: dict[str, str], on_end: Callable[[], None]
    ) -> None:
        super().__init__(events, headers=headers)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


async def _events(follower: Follower, job_id: int, place: Place) -> AsyncIterator[bytes]:
    began = spoke = monotonic()
    while not place.ended and monotonic() - began < LONGEST_STREAM_SECONDS:
        events = await run_in_threadpool(follower.look, job_id, place)
        for event in events:
            yield _line(event)
        if events:
            spoke = monotonic()
        elif monotonic() - spoke > SIGN_OF_LIFE_SECONDS:
            spoke = monotonic()
            yield b": still here\n\n"
        if not any(event.kind == "output" for event in events):
            await asyncio.sleep(LOOK_SECONDS)


def _line(event: Event) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (event.kind.encode(), event.id.encode(), dump(event.data))

"""/jobs, /job/:id"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from fastapi import Request
from starlette.responses import StreamingResponse

from batchd_api.answers import DONE, JsonAnswer, dump
from batchd_api.dependencies import TheBody, TheCaller, TheServices, job_id_of
from batchd_api.queries import jobs_wanted
from batchd_api.schemas import job_change

PIECE_BYTES = 64 * 1024


def list_jobs(services: TheServices, request: Request) -> JsonAnswer:
    return JsonAnswer(services.jobs.everywhere(jobs_wanted(request.query_params)))


def get_job(services: TheServices, job_id: str) -> JsonAnswer:
    return JsonAnswer(services.jobs.get(job_id_of(job_id)))


def change_job(services: TheServices, caller: TheCaller, job_id: str, body: TheBody) -> JsonAnswer:
    services.jobs.change(caller, job_id_of(job_id), job_change(body))
    return JsonAnswer(DONE)


def delete_job(services: TheServices, caller: TheCaller, job_id: str) -> JsonAnswer:
    services.jobs.delete(caller, job_id_of(job_id))
    return JsonAnswer(DONE)


def cancel_job(services: TheServices, caller: TheCaller, job_id: str) -> JsonAnswer:
    """Its tree ends behind the answer."""
    services.jobs.cancel(caller, job_id_of(job_id))
    return JsonAnswer(DONE)


def list_results(services: TheServices, job_id: str) -> StreamingResponse:
    """Piece by piece: the output of a job may be larger than our memory."""
    records = services.results.all(job_id_of(job_id))
    first = next(records, None)  # an error here still has an answer of its own
    rest = iter(()) if first is None else chain([first], records)
    return StreamingResponse(_json_list(rest), media_type=JsonAnswer.media_type)


def last_result(services: TheServices, job_id: str) -> JsonAnswer:
    return JsonAnswer(services.results.last(job_id_of(job_id)))


def _json_list(records: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    piece = bytearray(b"[")
    separator = b""
    for record in records:
        piece += separator + dump(record)
        separator = b","
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + b"]"

"""/queue"""

from __future__ import annotations

from hashlib import sha256

from fastapi import Request
from starlette.responses import Response

from batchd_api.answers import DONE, JsonAnswer, is_known
from batchd_api.dependencies import Name, TheBody, TheCaller, TheServices, seq_of
from batchd_api.errors import Invalid
from batchd_api.queries import jobs_wanted
from batchd_api.schemas import new_job, new_queue, parse_flag, parse_statuses, queue_change


def list_queues(services: TheServices, caller: TheCaller) -> JsonAnswer:
    return JsonAnswer(services.queues.visible(caller))


def create_queue(services: TheServices, caller: TheCaller, body: TheBody) -> JsonAnswer:
    return JsonAnswer(services.queues.create(caller, new_queue(body)))


def get_queue(services: TheServices, name: Name) -> JsonAnswer:
    return JsonAnswer(services.queues.get(name))


def change_queue(services: TheServices, caller: TheCaller, name: Name, body: TheBody) -> JsonAnswer:
    services.queues.change(caller, name, queue_change(body))
    return JsonAnswer(DONE)


def delete_queue(
    services: TheServices, caller: TheCaller, name: Name, forced: str | None = None, status: str | None = None
) -> JsonAnswer:
    """With a status its jobs in that status go, and the queue stays."""
    if status is None:
        services.queues.delete(caller, name, forced=parse_flag("forced", forced))
    elif not status:
        raise Invalid('"status" is empty; it names the jobs to delete.')
    else:
        services.queues.delete_jobs(caller, name, parse_statuses(status, default=()))
    return JsonAnswer(DONE)


def list_jobs(request: Request, services: TheServices, name: Name) -> Response:
    """A client that shows the same already is told so, without the list."""
    listed = JsonAnswer(services.jobs.in_queue(name, jobs_wanted(request.query_params)))
    mark = f'"{sha256(listed.body).hexdigest()[:32]}"'
    headers = {"ETag": mark, "Cache-Control": "private, no-cache"}
    if is_known(mark, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    listed.headers.update(headers)
    return listed


def enqueue(
    services: TheServices, caller: TheCaller, name: Name, body: TheBody, dry_run: str | None = None
) -> JsonAnswer:
    """A dry run answers what would be made, and stores nothing."""
    if parse_flag("dry_run", dry_run):
        return JsonAnswer(services.jobs.dry_run(caller, name, new_job(body)))
    return JsonAnswer(services.jobs.enqueue(caller, name, new_job(body)))


def delete_job(services: TheServices, caller: TheCaller, name: Name, seq: str) -> JsonAnswer:
    services.jobs.delete_in_queue(caller, name, seq_of(seq))
    return JsonAnswer(DONE)


def list_types(services: TheServices, caller: TheCaller, name: Name) -> JsonAnswer:
    return JsonAnswer(services.choices.types_in(caller, name))


def list_hosts(services: TheServices, caller: TheCaller, name: Name) -> JsonAnswer:
    return JsonAnswer(services.choices.hosts_in(caller, name))


def list_hosts_for_type(services: TheServices, caller: TheCaller, name: Name, type_name: Name) -> JsonAnswer:
    return JsonAnswer(services.choices.hosts_for(caller, name, type_name))

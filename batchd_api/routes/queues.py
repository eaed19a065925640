"""/queue"""

from __future__ import annotations

from batchd_api.answers import DONE, JsonAnswer
from batchd_api.dependencies import Name, TheBody, TheCaller, TheServices, seq_of
from batchd_api.errors import Invalid
from batchd_api.schemas import new_job, new_queue, parse_flag, parse_statuses, queue_change
from batchd_api.statuses import JobStatus


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


def list_jobs(services: TheServices, name: Name, status: str | None = None) -> JsonAnswer:
    statuses = parse_statuses(status or None, default=(JobStatus.NEW,))
    return JsonAnswer(services.jobs.in_queue(name, statuses))


def enqueue(services: TheServices, caller: TheCaller, name: Name, body: TheBody) -> JsonAnswer:
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

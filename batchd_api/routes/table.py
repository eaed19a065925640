"""Every route of the facade and what it asks of its caller, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from batchd_api.permissions import Access, Right, Scope
from batchd_api.routes import (
    attempts,
    hosts,
    jobs,
    monitor,
    output,
    queues,
    root,
    schedules,
    stats,
    types,
    users,
)

OPEN = Access(scope=Scope.OPEN)
USER = Access(scope=Scope.USER)
ATTEMPT = Access(scope=Scope.ATTEMPT)


class Route(NamedTuple):
    method: str
    path: str
    endpoint: Callable[..., Any]
    access: Access


def _any(right: Right) -> Access:
    return Access(scope=Scope.ANY, right=right)


def _queue(right: Right) -> Access:
    return Access(scope=Scope.QUEUE, right=right)


def _job(right: Right) -> Access:
    return Access(scope=Scope.JOB, right=right)


SUPERUSER = Access(scope=Scope.ANY, right=Right.SUPER_USER)
SELF = Access(scope=Scope.SELF, right=Right.SUPER_USER)
CREATE = Access(scope=Scope.CREATE, right=Right.CREATE_JOBS)

ROUTES: tuple[Route, ...] = (
    Route("OPTIONS", "/", root.authentication_methods, OPEN),
    Route("GET", "/", root.start_page, OPEN),
    Route("GET", "/monitor", root.monitor_page, OPEN),
    Route("GET", "/monitor/current/plain", monitor.current_list, USER),
    Route("GET", "/monitor/{prefix}/current/plain", monitor.current_list_of, USER),
    Route("GET", "/monitor/current/tree", monitor.current_tree, USER),
    Route("GET", "/monitor/{prefix}/current/tree", monitor.current_tree_of, USER),
    Route("GET", "/monitor/{name}/last", monitor.last_record, USER),
    Route("GET", "/monitor/{prefix}/query", monitor.stored_records, USER),
    Route("GET", "/monitor/jobs", monitor.job_counts, USER),
    Route("GET", "/metrics", monitor.prometheus, Access(scope=Scope.SCRAPE)),
    Route("GET", "/health", root.health, OPEN),
    Route("GET", "/openapi.json", root.openapi, USER),
    Route("GET", "/docs", root.docs, USER),
    Route("GET", "/stats", stats.all_stats, _any(Right.MANAGE_JOBS)),
    Route("GET", "/stats/{name}", stats.queue_stats, _queue(Right.MANAGE_JOBS)),
    Route("GET", "/queue", queues.list_queues, USER),
    Route("POST", "/queue", queues.create_queue, _any(Right.MANAGE_QUEUES)),
    Route("GET", "/queue/{name}", queues.get_queue, _queue(Right.VIEW_QUEUES)),
    Route("PUT", "/queue/{name}", queues.change_queue, _queue(Right.MANAGE_QUEUES)),
    Route("DELETE", "/queue/{name}", queues.delete_queue, _queue(Right.MANAGE_QUEUES)),
    Route("POST", "/queue/{name}", queues.enqueue, CREATE),
    Route("GET", "/queue/{name}/jobs", queues.list_jobs, _queue(Right.VIEW_JOBS)),
    Route("GET", "/queue/{name}/type", queues.list_types, USER),
    Route("GET", "/queue/{name}/host", queues.list_hosts, USER),
    Route("GET", "/queue/{name}/type/{type_name}/host", queues.list_hosts_for_type, USER),
    Route("DELETE", "/queue/{name}/{seq}", queues.delete_job, _queue(Right.MANAGE_JOBS)),
    Route("GET", "/jobs", jobs.list_jobs, _any(Right.VIEW_JOBS)),
    Route("GET", "/job/{job_id}", jobs.get_job, _job(Right.VIEW_JOBS)),
    Route("PUT", "/job/{job_id}", jobs.change_job, _job(Right.MANAGE_JOBS)),
    Route("DELETE", "/job/{job_id}", jobs.delete_job, _job(Right.MANAGE_JOBS)),
    Route("POST", "/job/{job_id}/cancel", jobs.cancel_job, _job(Right.MANAGE_JOBS)),
    Route("GET", "/job/{job_id}/results", jobs.list_results, _job(Right.VIEW_JOBS)),
    Route("GET", "/job/{job_id}/results/last", jobs.last_result, _job(Right.VIEW_JOBS)),
    Route("GET", "/job/{job_id}/output", output.get_output, _job(Right.VIEW_JOBS)),
    Route("GET", "/job/{job_id}/stream", output.follow_job, _job(Right.VIEW_JOBS)),
    Route("GET", "/attempt/{attempt_id}", attempts.get_order, ATTEMPT),
    Route("POST", "/attempt/{attempt_id}/output", attempts.add_output, ATTEMPT),
    Route("POST", "/attempt/{attempt_id}/exit", attempts.report_exit, ATTEMPT),
    Route("GET", "/schedule", schedules.list_schedules, _any(Right.VIEW_SCHEDULES)),
    Route("POST", "/schedule", schedules.create_schedule, _any(Right.MANAGE_SCHEDULES)),
    Route("PUT", "/schedule/{name}", schedules.change_schedule, _any(Right.MANAGE_SCHEDULES)),
    Route("GET", "/schedule/{name}/openings", schedules.list_openings, _any(Right.VIEW_SCHEDULES)),
    Route("DELETE", "/schedule/{name}", schedules.delete_schedule, _any(Right.MANAGE_SCHEDULES)),
    Route("GET", "/type", types.list_types, USER),
    Route("GET", "/type/{name}", types.get_type, USER),
    Route("GET", "/host", hosts.list_hosts, USER),
    Route("GET", "/hosts", hosts.list_states, USER),
    Route("GET", "/host/{name}", hosts.get_host, USER),
    Route("POST", "/host/{name}/start", hosts.start_host, SUPERUSER),
    Route("POST", "/host/{name}/stop", hosts.stop_host, SUPERUSER),
    Route("POST", "/host/{name}/drain", hosts.drain_host, SUPERUSER),
    Route("POST", "/host/{name}/resume", hosts.resume_host, SUPERUSER),
    Route("POST", "/host/{name}/test", hosts.test_host, SUPERUSER),
    Route("GET", "/whoami", users.whoami, USER),
    Route("GET", "/user", users.list_users, SUPERUSER),
    Route("POST", "/user", users.create_user, SUPERUSER),
    Route("PUT", "/user/{name}", users.change_password, SELF),
    Route("DELETE", "/user/{name}", users.delete_user, SUPERUSER),
    Route("GET", "/user/{name}/permissions", users.list_permissions, SUPERUSER),
    Route("POST", "/user/{name}/permissions", users.grant_permission, SUPERUSER),
    Route("DELETE", "/user/{name}/permissions/{permission_id}", users.revoke_permission, SUPERUSER),
)

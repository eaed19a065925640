"""/monitor/…: the figures. The page at /monitor itself is in root."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from batchd_api.answers import JsonAnswer
from batchd_api.dependencies import Name, TheServices
from batchd_api.metric_records import tree_of
from batchd_api.periods import period_wanted
from batchd_api.prometheus import CONTENT_TYPE
from batchd_api.services.metric_history import Period


def prometheus(services: TheServices) -> Response:
    """In Prometheus' text format."""
    return Response(services.prometheus.text(), headers={"Content-Type": CONTENT_TYPE})


def current_list(services: TheServices) -> JsonAnswer:
    return JsonAnswer(services.metrics.current_records())


def current_list_of(services: TheServices, prefix: Name) -> JsonAnswer:
    return JsonAnswer(services.metrics.current_records(prefix))


def current_tree(services: TheServices) -> JsonAnswer:
    return JsonAnswer(tree_of(services.metrics.current()))


def current_tree_of(services: TheServices, prefix: Name) -> JsonAnswer:
    return JsonAnswer(tree_of(services.metrics.current(prefix)))


def last_record(services: TheServices, name: Name) -> JsonAnswer:
    return JsonAnswer(services.metric_history.last(name))


def stored_records(request: Request, services: TheServices, prefix: Name) -> JsonAnswer:
    return JsonAnswer(services.metric_history.records(prefix, _period(request, services)))


def job_counts(request: Request, services: TheServices) -> JsonAnswer:
    return JsonAnswer(services.metric_history.job_counts(_period(request, services)))


def _period(request: Request, services: TheServices) -> Period:
    ground = services.metrics.ground
    return period_wanted(request.query_params, ground.clock(), ground.zone)

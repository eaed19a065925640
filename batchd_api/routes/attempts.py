"""/attempt/:id, for workers of other work pools: each shows the token of its attempt."""

from __future__ import annotations

from batchd_api.answers import DONE, JsonAnswer
from batchd_api.dependencies import TheBody, TheServices, attempt_id_of


def get_order(services: TheServices, attempt_id: str) -> JsonAnswer:
    return JsonAnswer(services.attempt_reports.order(attempt_id_of(attempt_id)))


def add_output(services: TheServices, attempt_id: str, body: TheBody) -> JsonAnswer:
    return JsonAnswer(services.attempt_reports.output(attempt_id_of(attempt_id), body))


def report_exit(services: TheServices, attempt_id: str, body: TheBody) -> JsonAnswer:
    services.attempt_reports.exit(attempt_id_of(attempt_id), body)
    return JsonAnswer(DONE)

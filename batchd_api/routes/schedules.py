"""/schedule"""

from __future__ import annotations

from fastapi import Request

from batchd_api.answers import DONE, JsonAnswer
from batchd_api.dependencies import Name, TheBody, TheCaller, TheServices
from batchd_api.queries import openings_wanted
from batchd_api.schemas import new_schedule, parse_flag, schedule_change


def list_schedules(services: TheServices) -> JsonAnswer:
    return JsonAnswer(services.schedules.all())


def create_schedule(services: TheServices, body: TheBody) -> JsonAnswer:
    return JsonAnswer(services.schedules.create(new_schedule(body)))


def change_schedule(services: TheServices, name: Name, body: TheBody) -> JsonAnswer:
    services.schedules.change(name, schedule_change(body))
    return JsonAnswer(DONE)


def list_openings(request: Request, services: TheServices, name: Name) -> JsonAnswer:
    return JsonAnswer(services.schedules.openings(name, openings_wanted(request.query_params)))


def delete_schedule(
    services: TheServices, caller: TheCaller, name: Name, forced: str | None = None
) -> JsonAnswer:
    services.schedules.delete(caller, name, forced=parse_flag("forced", forced))
    return JsonAnswer(DONE)

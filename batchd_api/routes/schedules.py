"""/schedule"""

from __future__ import annotations

from batchd_api.answers import DONE, JsonAnswer
from batchd_api.dependencies import Name, TheBody, TheCaller, TheServices
from batchd_api.schemas import new_schedule, parse_flag


def list_schedules(services: TheServices) -> JsonAnswer:
    return JsonAnswer(services.schedules.all())


def create_schedule(services: TheServices, body: TheBody) -> JsonAnswer:
    return JsonAnswer(services.schedules.create(new_schedule(body)))


def delete_schedule(
    services: TheServices, caller: TheCaller, name: Name, forced: str | None = None
) -> JsonAnswer:
    services.schedules.delete(caller, name, forced=parse_flag("forced", forced))
    return JsonAnswer(DONE)

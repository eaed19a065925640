"""/type"""

from __future__ import annotations

from batchd_api.answers import JsonAnswer
from batchd_api.dependencies import Name, TheServices


def list_types(services: TheServices) -> JsonAnswer:
    return JsonAnswer(services.choices.types())


def get_type(services: TheServices, name: Name) -> JsonAnswer:
    return JsonAnswer(services.choices.type(name))

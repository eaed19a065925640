"""/stats"""

from __future__ import annotations

from batchd_api.answers import JsonAnswer
from batchd_api.dependencies import Name, TheServices


def all_stats(services: TheServices) -> JsonAnswer:
    return JsonAnswer(services.stats.all())


def queue_stats(services: TheServices, name: Name) -> JsonAnswer:
    return JsonAnswer(services.stats.of_queue(name))

"""/host, /hosts"""

from __future__ import annotations

from batchd_api.answers import DONE, JsonAnswer
from batchd_api.dependencies import Name, TheCaller, TheServices


def list_hosts(services: TheServices) -> JsonAnswer:
    """The names alone: old clients know no more."""
    return JsonAnswer(services.choices.hosts())


def list_states(services: TheServices) -> JsonAnswer:
    return JsonAnswer(services.hosts.all())


def get_host(services: TheServices, name: Name) -> JsonAnswer:
    return JsonAnswer(services.hosts.get(name))


def start_host(services: TheServices, name: Name) -> JsonAnswer:
    services.hosts.start(name)
    return JsonAnswer(DONE)


def stop_host(services: TheServices, name: Name) -> JsonAnswer:
    services.hosts.stop(name)
    return JsonAnswer(DONE)


def drain_host(services: TheServices, name: Name) -> JsonAnswer:
    services.hosts.drain(name)
    return JsonAnswer(DONE)


def resume_host(services: TheServices, name: Name) -> JsonAnswer:
    services.hosts.resume(name)
    return JsonAnswer(DONE)


async def test_host(services: TheServices, caller: TheCaller, name: Name) -> JsonAnswer:
    """Answers when a dispatcher has looked, within a bounded time."""
    return JsonAnswer(await services.hosts.test(caller, name))

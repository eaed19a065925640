"""Machines that we started and that no file means any more: what the ledger knows is enough to stop them."""

from __future__ import annotations

from batchd_infra.controllers import Controllers
from batchd_infra.host_ledger import HostEntry
from batchd_infra.hosts import Host


def left_machine(entry: HostEntry, host: Host | None, controllers: Controllers) -> Host | None:
    """The machine to be stopped, as a host of its controller; None: it is the one that `host` means.

    A file may be gone, or broken, or name another machine than when ours was started. A controller that
    has another name now is not another one: then the host's file says where its machine is.
    """
    if not entry.ours:
        return None
    if host is not None:
        recorded = (entry.controller, entry.controller_id)
        if entry.controller not in controllers or recorded == (host.controller, host.controller_id):
            return None
    return as_host(entry)


def as_host(entry: HostEntry) -> Host:
    """As its file would say it, as far as a stop needs it."""
    return Host(
        name=entry.name,
        host_name=entry.address or entry.name,
        controller=entry.controller or "",
        controller_id=entry.controller_id or entry.name,
    )


def nobody_stops_it(host: Host, controllers: Controllers) -> str:
    """What is wrong with a machine of ours, and what a person is to do about it."""
    name = host.controller or "unknown"
    why = f"controller {name} may start and stop nothing"
    put_right = f"Allow it in controllers/{name}.yaml"
    if host.controller not in controllers:
        why = f"no file defines its controller {name} any more"
        put_right = f"Put controllers/{name}.yaml back"
    return (
        f"Host {host.name}: batchd has started its machine {host.controller_id}, and {why}. {put_right} and "
        f"restart the daemon; or stop the machine yourself, and say then: batch host stop {host.name}."
    )

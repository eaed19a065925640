"""`batch host`: the hosts, how they are, and care for one of them."""

import sys
from collections.abc import Callable

import click

from batchd_cli import completing
from batchd_cli.client import Client
from batchd_cli.common import Command
from batchd_cli.errors import NotFound
from batchd_cli.output import cell, is_drawn, print_fields, print_json, print_table
from batchd_cli.records import Host, HostTest
from batchd_cli.session import Session, pass_session

DONE = {
    "start": "host {} is being started",
    "stop": "host {} is being stopped, and takes no jobs until it is started or resumed",
    "drain": "host {} takes no new jobs",
    "resume": "host {} takes jobs again",
}
ACTIONS = (*DONE, "test")


@click.command("host", cls=Command)
@click.argument("action", required=False, metavar=f"[{'|'.join(ACTIONS)}]", shell_complete=completing.HOST)
@click.argument("name", required=False, metavar="[NAME]", shell_complete=completing.HOST)
@click.option(
    "-l", "--long", "is_long", is_flag=True, help="In a pipe too: how they are, not the names alone."
)
@pass_session
def command(session: Session, action: str | None, name: str | None, is_long: bool) -> None:
    """List the hosts and how they are, show one, or care for it.

    In a pipe the list is their names, one a line.

    \b
    Examples:
      batch host
      batch host night-vm
      batch host test night-vm     key, address, login, folders, a command
      batch host drain night-vm    no new jobs there
    """
    if action is None:
        _list(session, is_long=is_long)
    elif name is None:
        if action in ACTIONS:
            raise click.UsageError(f"name the host: batch host {action} NAME")
        _show(session, action)
    elif action == "test":
        _test(session, name)
    elif action in DONE:
        _act(session, action, name)
    else:
        raise click.UsageError(f"{action!r} is not one of {', '.join(ACTIONS)}")


def _list(session: Session, *, is_long: bool) -> None:
    if not (is_long or session.json or is_drawn(sys.stdout)):
        for name in session.client.hosts():
            click.echo(cell(name))
        return
    try:
        hosts = session.client.host_states()
    except NotFound:  # an older manager knows their names alone
        names = session.client.hosts()
        hosts = [Host(name=name, state="") for name in names]
    if session.json:
        print_json(hosts)
        return
    rows = [(h.name, h.state, h.jobs, h.waiting, h.since, h.idle_until, h.alarm or h.trouble) for h in hosts]
    print_table(
        ("NAME", "STATE", "JOBS", "WAITING", "SINCE", "IDLE UNTIL", "TROUBLE"),
        rows,
        cut={"TROUBLE": 20},
        optional=("WAITING", "IDLE UNTIL", "TROUBLE"),
    )


def _show(session: Session, name: str) -> None:
    host = session.client.host(name)
    if session.json:
        print_json(host)
        return
    print_fields(
        (
            ("Name", host.name),
            ("State", host.state),
            ("Controller", host.controller),
            ("Jobs", host.jobs),
            ("Waiting", host.waiting or None),
            ("Jobs at once", host.max_jobs),
            ("Since", host.since),
            ("Idle until", host.idle_until),
            ("Started by us", host.started_by_us),
            ("Draining", host.draining or None),
            ("Trouble", host.trouble),
            ("Next try", host.next_try),
            ("Alarm", host.alarm),
        )
    )


def _act(session: Session, action: str, name: str) -> None:
    calls: dict[str, Callable[[Client, str], None]] = {
        "start": Client.start_host,
        "stop": Client.stop_host,
        "drain": Client.drain_host,
        "resume": Client.resume_host,
    }
    calls[action](session.client, name)
    session.done(DONE[action].format(name), name=name)


def _test(session: Session, name: str) -> None:
    result: HostTest = session.client.test_host(name)
    if session.json:
        print_json(result)
    else:
        rows = [("ok" if step.ok else "FAILED", step.step, step.text) for step in result.steps]
        print_table(("", "STEP", "FOUND"), rows)
    if not result.ok:
        click.get_current_context().exit(1)

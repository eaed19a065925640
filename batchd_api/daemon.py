"""`batchd`: reads the configuration, refuses what cannot work, and becomes the daemon.

Prefect reads its settings from the environment while it is imported. So this module imports nothing of it,
sets that environment, and replaces itself by `python -m batchd_api.app`; the process id stays. The embedded
Prefect server begins before that: it starts while the daemon is imported.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from batchd_api.errors import StartupError
from batchd_api.settings_records import Settings
from batchd_api.startup import (
    STOPS,
    has_embedded_server,
    mode_of,
    prefect_environment,
    prepare_state_directory,
    read_settings,
    server_settings,
)
from batchd_api.state_lock import only_one
from batchd_flows.server import EmbeddedServer
from batchd_flows.versions import BrokenVersions, check_versions

REFUSED = 2  # exit code of a daemon that cannot start


class Words(click.Group):
    """`batchd Manager` was always the same as `batchd manager`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name.lower())
        if found is None:
            ctx.fail(f"{cmd_name!r} is not one of {', '.join(self.commands)}.")
        return found


_config = click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="batchd.yaml to use instead of the usual places."
)


@click.group(cls=Words, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@_config
@click.version_option(package_name="batchd")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Run the batchd daemon in the foreground: the REST facade, the planner, and Prefect underneath.

    Without a word it is what the key `daemon` of batchd.yaml says. Ctrl-C or SIGTERM stops it; jobs that run
    go on and are found again.
    """
    context.obj = config
    if context.invoked_subcommand is None:
        _become(None, config)


@main.command()
@_config
@click.pass_obj
def both(named_before: Path | None, config: Path | None) -> None:
    """What the key `daemon` of batchd.yaml says; where it says nothing, one process that does both."""
    _become(None, config or named_before)


@main.command()
@_config
@click.pass_obj
def manager(named_before: Path | None, config: Path | None) -> None:
    """Answer requests, and keep the embedded Prefect server."""
    _become("manager", config or named_before)


@main.command()
@_config
@click.pass_obj
def dispatcher(named_before: Path | None, config: Path | None) -> None:
    """Run jobs."""
    _become("dispatcher", config or named_before)


@main.command()
@_config
@click.option("--json", "as_json", is_flag=True, help="One object a line: topic, verdict, text.")
@click.pass_obj
def doctor(named_before: Path | None, config: Path | None, as_json: bool) -> None:
    """Look at everything that a working installation needs; each line is ok, or says what to do.

    Changes nothing, and may be run beside a running daemon. Ends with 1 if there is something to fix.
    """
    words = ["--config", str(config or named_before)] if config or named_before else []
    words += ["--json"] if as_json else []
    os.execv(sys.executable, [sys.executable, "-m", "batchd_api.doctor", *words])  # noqa: S606  as below


@main.command()
@_config
@click.option("--timeout", metavar="DURATION", help="Wait so long at most, as in 90, '10 min' or 2h.")
@click.option("--off", is_flag=True, help="Take new jobs again.")
@click.pass_obj
def drain(named_before: Path | None, config: Path | None, timeout: str | None, off: bool) -> None:
    """Let the running dispatcher of this configuration take no new jobs, and wait until none runs.

    It stays so until it is restarted or --off is said; jobs that wait say why. Ends with 0 when no job runs,
    with 1 when some still do (the time is over, or the dispatcher has stopped), with 2 when it does not run.
    """
    words = ["--config", str(config or named_before)] if config or named_before else []
    words += ["--timeout", timeout] if timeout is not None else []
    words += ["--off"] if off else []
    os.execv(sys.executable, [sys.executable, "-m", "batchd_api.drain_command", *words])  # noqa: S606  as below


def _become(mode: str | None, config: Path | None) -> None:
    try:
        settings = checked_settings(config)
        environment = prefect_environment(settings)
        begin_server(settings, mode)
    except (StartupError, BrokenVersions) as error:
        click.echo(f"batchd: {error}", err=True)
        sys.exit(REFUSED)
    arguments = [sys.executable, "-m", "batchd_api.app"]
    arguments += ["--mode", mode] if mode else []
    arguments += ["--config", str(config)] if config else []
    os.execve(sys.executable, arguments, environment)  # noqa: S606  the same program, under another environment


def checked_settings(config: Path | None) -> Settings:
    """What can be checked without Prefect is."""
    check_versions()
    settings = read_settings(config, os.environ).settings
    prepare_state_directory(settings)
    return settings


def begin_server(settings: Settings, mode: str | None) -> None:
    """Let the embedded server start meanwhile; the daemon ends it, whatever becomes of its own start.

    A signal to stop waits until the daemon hears it: it would leave the server behind. Raises StartupError
    where a daemon with this state folder runs.
    """
    if not has_embedded_server(settings, mode):
        return
    asked = list[int]()
    with only_one(settings.state_directory, mode_of(settings, mode)):
        for number in STOPS:
            signal.signal(number, lambda heard, _: asked.append(heard))
        EmbeddedServer(server_settings(settings)).begin()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # not sooner: the server would inherit that too
    for heard in asked:
        os.kill(os.getpid(), heard)

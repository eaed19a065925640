"""`batchd`: reads the configuration, refuses what cannot work, and becomes the daemon.

Prefect reads its settings from the environment while it is imported. So this module imports nothing of it,
sets that environment, and replaces itself by `python -m batchd_api.app`; the process id stays.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from batchd_api.errors import StartupError
from batchd_api.startup import prepare_state_directory, read_settings, server_settings
from batchd_flows.server_settings import client_environment
from batchd_flows.versions import BrokenVersions, check_versions

REFUSED = 2  # exit code of a daemon that cannot start


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "mode", type=click.Choice(["both", "manager", "dispatcher"], case_sensitive=False), required=False
)
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="batchd.yaml to use instead of the usual places."
)
@click.version_option(package_name="batchd")
def main(mode: str | None, config: Path | None) -> None:
    """Run the batchd daemon in the foreground: the REST facade, the planner, and Prefect underneath.

    MODE overrides the key `daemon` of batchd.yaml: `manager` answers requests, `dispatcher` runs jobs, `both`
    is one process that does both. Ctrl-C or SIGTERM stops it; jobs that run go on and are found again.
    """
    try:
        environment = prepared_environment(config)
    except (StartupError, BrokenVersions) as error:
        click.echo(f"batchd: {error}", err=True)
        sys.exit(REFUSED)
    arguments = [sys.executable, "-m", "batchd_api.app"]
    arguments += ["--mode", mode.lower()] if mode else []
    arguments += ["--config", str(config)] if config else []
    os.execve(sys.executable, arguments, environment)  # noqa: S606  the same program, under another environment


def prepared_environment(config: Path | None) -> dict[str, str]:
    """Check what can be checked without Prefect, and give the environment that Prefect needs."""
    check_versions()
    settings = read_settings(config, os.environ).settings
    prepare_state_directory(settings)
    return client_environment(server_settings(settings))

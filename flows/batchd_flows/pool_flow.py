"""The flow of a job in a work pool of another type: whatever worker serves that pool runs it, where it is.

It needs this package and a way to the manager; nothing of batchd's configuration.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from batchd_flows.attempt_reports import AttemptReports, NoLongerWanted
from batchd_flows.environment import job_environment
from batchd_flows.errors import FlowsError
from batchd_flows.local_machine import LocalMachine
from batchd_flows.run import Outcome, Run
from batchd_flows.supervisor import Launch, RunState

LOOK_SECONDS = 2.0  # between two questions whether the job is still wanted


class JobFailed(FlowsError):
    """The command did not end with 0; the job's page has the rest."""


@flow(name="batchd job", persist_result=False, log_prints=False)
def run_attempt(manager_url: str, attempt: int, token: str) -> str:
    """Run one execution of a job, and report it to `manager_url`."""
    reports = AttemptReports(manager_url, attempt, token)
    folder = _folder() / f"pool-{flow_run.get_id() or attempt}"
    order = asyncio.run(reports.order())
    launch = order.launch(folder, job_environment(os.environ))
    machine = LocalMachine()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batchd-command") as threads:
        following = threads.submit(lambda: asyncio.run(followed(machine, launch, reports)))
        try:
            outcome = following.result()
        except BaseException:  # a signal of the worker's, too: nothing stays behind
            _end(machine, launch)
            raise
    if not outcome.succeeded:
        raise JobFailed(outcome.reason or f"exit code {outcome.exit_code}")
    return "exit code 0"


async def followed(machine: LocalMachine, launch: Launch, reports: AttemptReports) -> Outcome:
    """To its end, all of it reported; a job that is not wanted any more ends with its tree."""
    run = Run(
        machine=machine,
        folder=launch.folder,
        recorder=reports,
        launch=launch,
        grace_seconds=launch.kill_after_seconds,
    )
    performing = asyncio.create_task(run.perform())
    watching = asyncio.create_task(_until_unwanted(reports))
    try:
        await asyncio.wait([performing, watching], return_when=asyncio.FIRST_COMPLETED)
        if not performing.done():
            await asyncio.to_thread(_end, machine, launch)
        return await performing
    except NoLongerWanted as refused:
        await asyncio.to_thread(_end, machine, launch)
        return Outcome(exit_code=None, reason=f"not wanted any more: {refused}")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _until_unwanted(reports: AttemptReports) -> None:
    """Returns when a person has cancelled the job, or its report is refused."""
    try:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not await reports.is_wanted():
                return
    except NoLongerWanted:
        return


def _end(machine: LocalMachine, launch: Launch) -> None:
    if machine.status(launch.folder).state is not RunState.ABSENT:
        machine.cancel(launch.folder, grace_seconds=launch.kill_after_seconds)


def _folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "batchd" / "flow-runs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder

"""Starts everything on loopback, runs three real jobs, and shows how each ended, here and in Prefect."""

from __future__ import annotations

import argparse
import base64
import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Console
from rich.table import Table

from batchd_cli.client import Client, Job, Period, Schedule
from batchd_cli.errors import BatchError, NotFound
from demo.daemon import USER, DemoFailed, DemoPlace, running

END_SECONDS = 120.0
LOOK_SECONDS = 0.2
FINAL = ("Done", "Failed")


@dataclass(frozen=True, kw_only=True)
class DemoJob:
    """A job of the demo and how many executions of it must fail before it is Done."""

    number: int
    what: str
    failures: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    place = DemoPlace.from_environment()
    try:
        password = place.prepare()
        say(f"Starting batchd on {place.url}, and its Prefect server (10 to 20 seconds) …")
        with running(place, password) as client:
            demonstrate(client, place)
            if keep:
                say("Running until Ctrl-C.")
                signal.pause()
    except KeyboardInterrupt:
        return 130 if not keep else 0
    except (DemoFailed, BatchError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def demonstrate(client: Client, place: DemoPlace) -> None:
    make_queues(client)
    jobs = [
        DemoJob(
            number=client.enqueue(
                "default", "command", {"command": "echo", "args": "a job goes through a pipe | tr a-z A-Z"}
            ).id,
            what="command: with a pipe",
        ),
        DemoJob(number=client.enqueue("night", "countdown", {}).id, what="countdown: prints for 5 s"),
        DemoJob(
            number=client.enqueue("night", "second-try", {}).id, what="second-try: fails once", failures=1
        ),
    ]
    follow(client, [job.number for job in jobs])
    records = {job.number: client.job(job.number) for job in jobs}
    states = prefect_states(place, [job.number for job in jobs])
    show_table(jobs, records, states)
    show_addresses(place)
    wrong = [job for job in jobs if not as_it_should(job, records[job.number], states[job.number])]
    if wrong:
        raise DemoFailed(
            "did not end as it should: " + ", ".join(f"#{job.number} ({job.what})" for job in wrong)
        )


def make_queues(client: Client) -> None:
    """`default` is there from the start; `night` gets a window that is open now."""
    begin = (datetime.now() - timedelta(hours=1)).replace(minute=0, second=0)
    end = begin + timedelta(hours=6)
    name = f"from-{begin:%H}-to-{end:%H}"
    period = Period(begin=f"{begin:%H:%M:%S}", end=f"{end:%H:%M:%S}")
    if name not in [schedule.name for schedule in client.schedules()]:
        client.create_schedule(Schedule(name=name, time=(period,)))
    try:
        client.update_queue("night", schedule_name=name)
    except NotFound:
        client.create_queue("night", title="Nightly jobs", schedule_name=name)
    say(f"Queue night runs jobs from {period.begin} to {period.end}, so it is open now.\n")


def follow(client: Client, numbers: list[int]) -> None:
    """Print what the jobs print, as it comes, until all have ended."""
    deadline = time.monotonic() + END_SECONDS
    printed = dict.fromkeys(numbers, 0)
    while True:
        ended = all(client.job(number).status in FINAL for number in numbers)
        for number in numbers:
            results = client.results(number)
            for result in results[printed[number] :]:
                show_line(number, result.stdout, result.stderr, result.exit_code)
            printed[number] = len(results)
        if ended:
            return
        if time.monotonic() > deadline:
            raise DemoFailed(f"the jobs did not end within {END_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def show_line(number: int, stdout: str, stderr: str, exit_code: int | None) -> None:
    if stderr:
        say(f"  #{number} ! {stderr}")
    elif stdout:
        say(f"  #{number} | {stdout}")
    elif exit_code is not None:
        say(f"  #{number} = exit code {exit_code}")


def prefect_states(place: DemoPlace, numbers: list[int]) -> dict[int, list[str]]:
    """How Prefect shows each job's flow runs, oldest first; waits until all of them have ended there too."""
    ask = prefect_asker(place)
    deadline = time.monotonic() + END_SECONDS
    while True:
        runs = ask("/api/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 200})
        runs.sort(key=lambda run: run["created"])
        states = {
            number: [r["state_name"] for r in runs if r["name"].split()[0] == f"#{number}"]
            for number in numbers
        }
        if all(
            found and all(state in ("Completed", "Failed") for state in found) for found in states.values()
        ):
            return states
        if time.monotonic() > deadline:
            raise DemoFailed(f"Prefect still shows {states}")
        time.sleep(LOOK_SECONDS)


def prefect_asker(place: DemoPlace) -> Callable[[str, object], list[dict[str, str]]]:
    credentials = base64.b64encode((place.state / "prefect-auth").read_text().strip().encode()).decode()

    def ask(path: str, body: object) -> list[dict[str, str]]:
        request = urllib.request.Request(  # noqa: S310  our own server
            place.prefect_url + path,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return list(json.load(answer))

    return ask


def as_it_should(job: DemoJob, record: Job, states: list[str]) -> bool:
    expected = ["Failed"] * job.failures + ["Completed"]
    return record.status == "Done" and record.try_count == job.failures and states == expected


def show_table(jobs: list[DemoJob], records: dict[int, Job], states: dict[int, list[str]]) -> None:
    table = Table("job", "what it is", "ended", "exit code", "failed tries", "in Prefect")
    for job in jobs:
        record = records[job.number]
        table.add_row(
            f"#{job.number}",
            job.what,
            record.status,
            "" if record.exit_code is None else str(record.exit_code),
            str(record.try_count),
            ", ".join(states[job.number]),
        )
    print(flush=True)
    Console().print(table)


def show_addresses(place: DemoPlace) -> None:
    say(f"The facade:    {place.url}   (user {USER}, password in {place.password_file})")
    say(
        f"The Prefect UI: {place.prefect_url}   (it asks once for the line in {place.state / 'prefect-auth'})"
    )


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

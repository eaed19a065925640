"""Two dispatchers at one PostgreSQL: one stands still for too long, or loses Prefect alone. FAULTS.md: A8."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from batchd_api.alive import alive_since
from batchd_api.db.tables import dispatchers, leases
from tests.acceptance.harness import until
from tests.postgres import Postgres
from tests.prefect_server import PrefectServer
from tests.reliability.fail_points import FailPoint
from tests.reliability.harness import Forked, Machine, Site, site
from tests.tcp_proxy import Pass, Refuse, tcp_proxy

pytestmark = pytest.mark.slow

SECONDS = 60
TAKEN_OVER_SECONDS = 15
# The second job that it plans: in the midst of the transaction that would write it.
WHILE_IT_PLANS = FailPoint(target="batchd_api.world:WorldStore._take", nth=2, number=signal.SIGSTOP)


class Pair:
    """A manager and two machines that run one job each."""

    def __init__(self, here: Site, stack: ExitStack) -> None:
        self.here = here
        self.one, self.two = (
            Machine(here, name, stack.enter_context(tcp_proxy(here.server.server.port)), "workers: 1")
            for name in ("one", "two")
        )

    def planner(self) -> str:
        return "".join(row.holder for row in self.here.rows(select(leases)))

    def plans(self, machine: Machine, seconds: float = SECONDS) -> None:
        until(seconds, f"{machine.folder.name} to plan", lambda: self.planner() == machine.name)

    def takes(self, machine: Machine) -> int:
        """How many jobs it says it takes."""
        query = select(dispatchers.c.workers).where(dispatchers.c.name == machine.name)
        return int(self.here.rows(query)[0].workers)

    def is_alive(self, machine: Machine) -> bool:
        now = self.here.rows(select(func.clock_timestamp()))[0][0]
        query = select(dispatchers.c.name).where(dispatchers.c.seen_at >= alive_since(now))
        return machine.name in {row.name for row in self.here.rows(query)}

    def running(self, machine: Machine, word: str, meanwhile: str = ":") -> int:
        """A job that has begun there, and ends once it is told this word."""
        file = self.here.folder / word
        waits = f"while [ ! -e {file} ]; do sleep 0.05; {meanwhile}; done"
        number = self.here.witness(between=f"{waits}; echo told")
        self.here.begun(number)
        self.here.status(number, "Processing")
        assert self.by(number) == [machine.name]
        return number

    def by(self, number: int) -> list[str]:
        """Which dispatchers its executions are of."""
        return [attempt.dispatcher for attempt in self.here.attempts(number)]


@pytest.fixture
def pair(prefect_server: PrefectServer, postgres: Postgres, tmp_path: Path) -> Iterator[Pair]:
    with (
        ExitStack() as stack,
        site(tmp_path, prefect_server, database_url=postgres.new_database()) as here,
    ):
        here.start("manager").wait_until_it_answers()
        yield Pair(here, stack)


def stands_still(daemon: Forked) -> None:
    def look() -> bool:
        return Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    until(SECONDS, "its standstill", look)


def test_a8_a_planner_that_stood_still_past_its_lease_writes_nothing_late_and_keeps_its_job(
    pair: Pair,
) -> None:
    """It is stopped with a plan half written: the row that it holds is taken from it, the plan refused."""
    here, one, two = pair.here, pair.one, pair.two
    first = one.start(fail=[WHILE_IT_PLANS])
    pair.plans(one)
    kept = pair.running(one, "kept")
    two.start()
    other = here.witness(between=here.until_told("other"))
    stands_still(first)
    assert here.attempts(other) == []
    pair.plans(two, TAKEN_OVER_SECONDS)
    here.begun(other)
    until(SECONDS, "its silence", lambda: not pair.is_alive(one))
    assert here.job(kept).status == "Processing"

    first.send(signal.SIGCONT)
    until(SECONDS, "its refusal", lambda: "another dispatcher plans from now on" in one.said())
    until(SECONDS, "its first beat", lambda: pair.is_alive(one))
    here.tell("kept")
    here.status(kept, "Done")
    after = pair.running(one, "after")
    for word in ("other", "after"):
        here.tell(word)
    for number in (other, after):
        here.status(number, "Done")
    assert [pair.by(number) for number in (kept, other, after)] == [[one.name], [two.name], [one.name]]
    assert here.starts() == [kept, other, after]
    assert here.output(kept) == b"told\n"
    assert pair.planner() == two.name


def test_a8_what_a_forgotten_dispatcher_says_when_it_is_woken_is_refused_and_its_command_is_ended(
    pair: Pair,
) -> None:
    here, one, two = pair.here, pair.one, pair.two
    first = one.start()
    lost = pair.running(one, "never", meanwhile="echo again")
    supervisor = Path(f"/proc/{one.supervisor(lost)}")
    two.start()
    first.send(signal.SIGSTOP)
    refused = two.forget(one)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"The dispatcher {one.name} is alive" in refused.stderr
    until(SECONDS, "its silence", lambda: not pair.is_alive(one))

    assert f"job {lost} (command): Failed, outcome unknown" in two.forget(one, "--dry-run").stdout
    assert here.job(lost).status == "Processing"
    assert two.forget(one).returncode == 0
    given_up, job = here.attempts(lost), here.job(lost)
    why = f"outcome unknown: its dispatcher {one.name} was given up"
    assert (job.status, job.reason_text, given_up[0].exit_code) == ("Failed", why, None)
    assert supervisor.exists()

    first.send(signal.SIGCONT)
    until(SECONDS, "the refusal", lambda: f"Attempt 1 of job {lost} is not this dispatcher's" in one.said())
    until(SECONDS, "the end of what it ran", lambda: not supervisor.exists())
    assert here.attempts(lost) == given_up
    assert (here.job(lost).status, here.job(lost).end_time) == ("Failed", job.end_time)
    until(SECONDS, "its first beat", lambda: pair.is_alive(one))
    jobs = [here.witness(between="sleep 1") for _ in range(4)]
    for number in jobs:
        here.status(number, "Done")
    assert {name for number in jobs for name in pair.by(number)} == {one.name, two.name}
    assert here.starts(lost) == [lost]


def test_a_planner_that_loses_prefect_alone_leaves_planning_and_new_jobs_to_one_that_reaches_it(
    pair: Pair,
) -> None:
    here, one, two = pair.here, pair.one, pair.two
    one.start()
    pair.plans(one)
    goes_on = pair.running(one, "on")
    two.start()
    one.network.mode = Refuse()
    pair.plans(two)
    jobs = [here.witness() for _ in range(3)]
    for number in jobs:
        here.status(number, "Done")
        assert pair.by(number) == [two.name]
    assert here.job(goes_on).status == "Processing"
    here.tell("on")
    here.status(goes_on, "Done")

    one.network.mode = Pass()
    until(SECONDS, "it to take jobs again", lambda: pair.takes(one) == 1)
    busy = here.witness(between=here.until_told("busy"))
    other = here.witness(between=here.until_told("busy"))
    for number in (busy, other):
        here.begun(number)
    here.tell("busy")
    assert {*pair.by(busy), *pair.by(other)} == {one.name, two.name}
    assert pair.planner() == two.name


def test_a_job_that_waits_for_prefect_at_a_dispatcher_that_lost_it_runs_at_another(pair: Pair) -> None:
    """It was given to it when it had just lost Prefect: its claim is not answered."""
    here, one, two = pair.here, pair.one, pair.two
    two.start()
    pair.plans(two)
    one.start()
    kept = pair.running(two, "kept")
    one.network.mode = Refuse()
    number = here.witness()
    here.status(number, "Waiting")
    assert pair.by(number) == [one.name]
    here.tell("kept")
    here.status(number, "Done")
    assert pair.by(number) == [two.name]
    here.status(kept, "Done")
    one.network.mode = Pass()

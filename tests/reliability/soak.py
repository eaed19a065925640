"""`make soak`: jobs for some minutes, while dispatcher, facade and Prefect server are killed again and again.

Half of the time one process does both, then manager and dispatcher are two. All that happens follows from the
seed, but for how fast the machine is. Afterwards every invariant of the fault suite must hold.

With a host, every other job runs there behind SSH, and its sshd is killed and its connections are cut, too.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, jobs
from batchd_api.statuses import AttemptState
from batchd_cli.errors import BatchError
from tests.acceptance.harness import Daemon, until
from tests.reliability.harness import Grounds
from tests.reliability.soak_host import NAME, SoakHost, soak_host

FULL_SECONDS, FULL_JOBS = 600, 200
KILL_SECONDS = (5.0, 20.0)
ENQUEUE_SHARE = 0.8  # of the time; the rest is for the last ones to meet a kill
REST_SECONDS = 600.0  # on a busy machine a Prefect server takes minutes to start
LINES = 40
ENDLESS = "sleep 600"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one seed means: when what is killed, and which jobs come when. Times in seconds from the start."""

    seed: int
    seconds: float
    kills: Sequence[tuple[float, float]]  # when, and a number that picks the victim
    jobs: Sequence[tuple[float, str, float]]  # when, kind, length


def make_plan(seed: int, seconds: float, count: int) -> Plan:
    dice = random.Random(seed)
    kills, moment = [], dice.uniform(*KILL_SECONDS)
    while moment < seconds:
        kills.append((moment, dice.random()))
        moment += dice.uniform(*KILL_SECONDS)
    moments = sorted(dice.uniform(0, seconds * ENQUEUE_SHARE) for _ in range(count))
    kinds = dice.choices(["plain", "again", "fails", "cancelled"], [75, 10, 10, 5], k=count)
    lengths = [min(30.0, dice.expovariate(1 / 3)) for _ in range(count)]
    return Plan(seed=seed, seconds=seconds, kills=kills, jobs=list(zip(moments, kinds, lengths, strict=True)))


@dataclass
class Tally:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    cancels: int = 0
    longest_silence_seconds: float = 0.0  # between two beats of a dispatcher


class Soak:
    def __init__(self, here: Grounds, plan: Plan, host: SoakHost | None = None) -> None:
        self.here, self.plan, self.host = here, plan, host
        self.tally = Tally()
        self._daemons: dict[str, Daemon] = {}
        self._kinds: dict[int, str] = {}
        self._owed: deque[tuple[str, float, str | None]] = deque()  # orders that nobody has accepted yet
        self._orders = 0

    def run(self) -> None:
        began = time.monotonic()
        self._start("both")
        self._daemons["both"].ready()
        idle = time.monotonic() - began
        todo = sorted([*self._events()])
        for moment, _, name, number, length in todo:
            while (left := began + idle + moment - time.monotonic()) > 0:
                time.sleep(min(left, 0.2))
                self._between()
            getattr(self, f"_{name}")(number, length)
        self._rest()

    def _events(self) -> Iterator[tuple[float, int, str, float, float]]:
        kinds = {kind: place for place, kind in enumerate(KINDS)}
        yield self.plan.seconds / 2, -1, "split", 0.0, 0.0
        yield self.plan.seconds, -1, "nothing", 0.0, 0.0
        for place, (moment, choice) in enumerate(self.plan.kills):
            yield moment, place, "kill", choice, 0.0
        for place, (moment, kind, length) in enumerate(self.plan.jobs):
            yield moment, place, "enqueue", float(kinds[kind]), length

    def _nothing(self, *_: float) -> None:
        """The end of the time."""

    # The daemons

    def _start(self, *modes: str) -> None:
        for mode in modes:
            self._daemons[mode] = Daemon(self.here, mode)

    def _main(self) -> Daemon:
        """The one that keeps the Prefect server."""
        return self._daemons["both" if "both" in self._daemons else "manager"]

    def _split(self, *_: float) -> None:
        """From one process to two, as a person would."""
        self._daemons.pop("both").stop()
        self._start("manager", "dispatcher")

    def _kill(self, choice: float, _: float) -> None:
        wounds = {"sshd": self.host.kill_sshd, "connections": self.host.cut} if self.host else {}
        victims = [*sorted(self._daemons), "Prefect server", *wounds]
        victim = victims[int(choice * len(victims))]
        if victim in wounds:
            wounds[victim]()
            self.tally.kills[victim] += 1
            return
        if victim == "Prefect server":
            server = self.here.prefect_server()
            if server is not None:
                with suppress(ProcessLookupError):
                    os.kill(server, signal.SIGKILL)
                self.tally.kills[victim] += 1
            return
        daemon = self._daemons[victim]
        self._must_live(victim, daemon)
        daemon.stop(signal.SIGKILL)
        self.tally.kills[victim] += 1
        self._start(victim)

    def _must_live(self, name: str, daemon: Daemon) -> None:
        code = daemon.process.poll()
        assert code is None, f"{name} ended by itself with {code}: {daemon.terminal()[-2000:]}"

    def _between(self) -> None:
        for name, daemon in self._daemons.items():
            self._must_live(name, daemon)
        rows = self.here.rows(select(dispatchers.c.seen_at))
        if rows:
            silence = (datetime.now(UTC) - max(row.seen_at for row in rows)).total_seconds()
            self.tally.longest_silence_seconds = max(silence, self.tally.longest_silence_seconds)
        self._ask_again()
        self._cancel_the_endless()

    # The jobs

    def _enqueue(self, kind: float, length: float) -> None:
        self._orders += 1
        host_name = NAME if self.host and self._orders % 2 else None
        order = (KINDS[int(kind)], length, host_name)
        if not self._asked(*order):
            self.tally.unanswered += 1
            self._owed.append(order)

    def _ask_again(self) -> None:
        """As people do whose order had no answer; it may run twice then, as two jobs."""
        while self._owed and self._asked(*self._owed[0]):
            self._owed.popleft()

    def _asked(self, name: str, length: float, host_name: str | None) -> bool:
        """Whether it was accepted. The facade may be dead; or it took the job and died, nobody knows."""
        lines = (
            f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; sleep {length / LINES:.3f}; done"
        )
        ends = {"fails": "exit 3", "again": "[ $BATCHD_ATTEMPT -gt 1 ] || exit 4"}.get(name, ":")
        between = ENDLESS if name == "cancelled" else f"{lines}; {ends}"
        type_name = "again" if name == "again" else "command"
        try:
            number = self.here.witness(between=between, type_name=type_name, host_name=host_name)
        except BatchError:
            return False
        self._kinds[number] = name
        return True

    def _cancel_the_endless(self) -> None:
        """Those that run; also where their enqueue had no answer."""
        query = select(attempts.c.job_id, jobs.c.params).join(jobs, jobs.c.id == attempts.c.job_id)
        running = attempts.c.state == AttemptState.RUNNING
        for row in self.here.rows(query.where(running, attempts.c.cancel_requested_at.is_(None))):
            if ENDLESS in row.params["command"]:
                with suppress(BatchError), self.here.client() as client:
                    client.cancel_job(row.job_id)
                    self.tally.cancels += 1

    # Afterwards

    def _rest(self) -> None:
        """Until every job has ended, with nobody killed any more."""

        def all_ended() -> bool:
            self._between()
            query = select(jobs.c.id).where(jobs.c.status.not_in(["Done", "Failed"]))
            return not self._owed and not self.here.rows(query)

        until(REST_SECONDS, f"the end of the last job; {self.here.said()[-3000:]}", all_ended)
        self._main().ready()  # one that is stopped before it can hear that leaves the server of a killed one
        keep = {daemon.process.pid for daemon in self._daemons.values()}
        if (server := self.here.prefect_server()) is not None:
            keep.add(server)
        self.here.assert_invariants(keep)
        assert not self.here.rows(select(attempts).where(IS_ALIVE))
        self._assert_what_jobs_came_to()
        if self.host is not None:
            self.host.assert_nothing_left()
        for daemon in self._daemons.values():
            assert daemon.stop() < 30
        self.here.assert_nothing_left()

    def _assert_what_jobs_came_to(self) -> None:
        whole = "".join(f"line {i}\n" for i in range(1, LINES + 1)).encode()
        for number, kind in self._kinds.items():
            job, tries = self.here.job(number), self.here.attempts(number)
            ends = [attempt.exit_code for attempt in tries]
            expected = {"plain": [0], "fails": [3], "again": [4, 0]}.get(kind)
            if expected is not None:
                assert ends == expected, f"job {number} ({kind}): {ends}, {job.reason_text}"
                assert self.here.output(number) == whole * len(ends), f"the output of job {number}"
            else:
                assert job.status == "Failed", f"job {number} was cancelled and is {job.status}"

    def stop(self) -> None:
        """After a failure."""
        for daemon in self._daemons.values():
            if daemon.process.poll() is None:
                daemon.stop(signal.SIGKILL)
        self.here.end_what_is_left()

    def figures(self) -> str:
        statuses = Counter(row.status for row in self.here.rows(select(jobs.c.status)))
        tries = len(self.here.rows(select(attempts.c.id)))
        killed = ", ".join(f"{count} {name}" for name, count in sorted(self.tally.kills.items()))
        size = sum(len(self.here.output(number)) for number in self._kinds)
        there = len(self.here.rows(select(attempts.c.id).where(attempts.c.host_name.is_not(None))))
        on_host = f", {there} of them on a host behind SSH" if self.host else ""
        return (
            f"seed {self.plan.seed}: {self.plan.seconds:.0f} s, {self.tally.kills.total()} kills ({killed})\n"
            f"{len(self._kinds)} jobs accepted, {self.tally.unanswered} of them after an enqueue without an "
            f"answer; {statuses.total() - len(self._kinds)} taken without one; {self.tally.cancels} cancels\n"
            f"{statuses['Done']} Done, {statuses['Failed']} Failed, {tries} attempts{on_host}, "
            f"{len(self.here.starts())} starts, none lost, none twice\n"
            f"{size} bytes of output, each as it was written; "
            f"longest time without a dispatcher {self.tally.longest_silence_seconds:.0f} s"
        )


KINDS = ("plain", "again", "fails", "cancelled")


def soak(folder: Path, *, seed: int, seconds: float, count: int, ssh: bool = False) -> str:
    """The figures; an AssertionError where anything was lost, doubled or left behind."""
    here = Grounds(folder / "here")
    with ExitStack() as stack:
        stack.callback(here.database.close)
        host = stack.enter_context(soak_host(folder / "park", here)) if ssh else None
        run = Soak(here, make_plan(seed, seconds, count), host)
        try:
            run.run()
        finally:
            run.stop()
        return run.figures()


def main() -> None:
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--seconds", type=float, default=FULL_SECONDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--ssh", action="store_true", help="every other job runs on a host behind SSH")
    asked = parser.parse_args()
    count = asked.jobs or max(1, round(FULL_JOBS * asked.seconds / FULL_SECONDS))
    print(f"soak: seed {asked.seed}, {asked.seconds:.0f} s, {count} jobs", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="batchd-soak-"))
    try:
        print(soak(folder, seed=asked.seed, seconds=asked.seconds, count=count, ssh=asked.ssh))
    except AssertionError as error:
        print(f"soak: {error}\nsoak: seed {asked.seed}; everything is kept in {folder}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

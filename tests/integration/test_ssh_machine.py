"""Runs on a real `sshd`, through a network that is cut, swallows and comes back. FAULTS: D1-D4 D7 C1 C2."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batchd_flows.run import Chunk, MemoryRecorder, Outcome, Run
from batchd_flows.ssh_machine import SshMachine
from batchd_flows.supervisor import Launch, MachineUnreachable
from batchd_infra.ssh import SshConnection
from batchd_infra.ssh_channel import SshChannel
from tests.sshd import Sshd, new_key, running_sshd
from tests.tcp_proxy import Blackhole, CutAfter, Pass, Refuse, TcpProxy, tcp_proxy

pytestmark = pytest.mark.anyio

LIMIT_SECONDS = 60
QUICK = {"connect_seconds": 2, "handshake_seconds": 2, "login_seconds": 5, "answer_seconds": 2}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("ssh") / "sshd") as server:
        yield server


@dataclass
class Box:
    """A host behind a network that the test holds in its hands."""

    sshd: Sshd
    proxy: TcpProxy
    path: Path
    machines: list[SshMachine] = field(default_factory=list)
    connections: list[SshConnection] = field(default_factory=list)

    def connection(self, **fields: Any) -> SshConnection:
        known = self.path / "known_hosts"
        known.write_text(self.sshd.known_hosts.read_text().replace(str(self.sshd.port), str(self.proxy.port)))
        target = self.sshd.target(**({"port": self.proxy.port, "known_hosts_file": known} | QUICK | fields))
        self.connections.append(Counting(target))
        return self.connections[-1]

    def machine(self, connection: SshConnection | None = None, **fields: Any) -> SshMachine:
        named: dict[str, Any] = {"host_name": "box", "state_folder": str(self.path / "state")}
        self.machines.append(SshMachine(connection or self.connection(), **(named | fields)))
        return self.machines[-1]

    def launch(self, script: str, name: str = "attempt", **fields: Any) -> Launch:
        named: dict[str, Any] = {
            "folder": Path("/elsewhere") / name,
            "script": script,
            "environment": {"PATH": "/usr/bin:/bin"},
            "working_directory": str(self.path),
            "kill_after_seconds": 1,
        }
        return Launch(**(named | fields))

    def run(
        self, script: str, machine: SshMachine | None = None, name: str = "attempt", **fields: Any
    ) -> Run:
        machine = machine or self.machine()
        launch = self.launch(script, name)
        named = {"machine": machine, "folder": launch.folder, "recorder": MemoryRecorder(), "launch": launch}
        return Run(**(named | {"grace_seconds": 1} | fields))

    def file(self, name: str) -> Path:
        return self.path / name

    @property
    def folder(self) -> Path:
        return self.path / "state" / "attempts" / "attempt"


class Counting(SshConnection):
    """How many commands it was asked to run."""

    commands = 0

    @contextmanager
    def session(self, command: str) -> Iterator[SshChannel]:
        self.commands += 1
        with super().session(command) as channel:
            yield channel


@pytest.fixture
def box(sshd: Sshd, tmp_path: Path) -> Iterator[Box]:
    with tcp_proxy(sshd.port) as proxy:
        made = Box(sshd, proxy, tmp_path)
        yield made
        proxy.mode = Pass()
        made.connections.append(SshConnection(sshd.target()))
        sweeper = made.machine(made.connections[-1])
        for name in sweeper.attempts():
            sweeper.cancel(Path(name), grace_seconds=0)
            wait_until(lambda name=name: sweeper.gone(Path(name)))  # type: ignore[misc]
        for machine in made.machines:
            machine.close()
        for connection in made.connections:
            connection.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


async def perform(run: Run) -> Outcome:
    async with asyncio.timeout(LIMIT_SECONDS):
        return await run.perform()


def recorder_of(run: Run) -> MemoryRecorder:
    assert isinstance(run.recorder, MemoryRecorder)
    return run.recorder


COUNTS = """
echo start >>starts; i=0
while [ $i -lt 25 ]; do i=$((i+1)); echo $i; echo e$i >&2; sleep 0.1; done
exit 7
"""


def counted(run: Run) -> bool:
    numbers = range(1, 26)
    recorder = recorder_of(run)
    return recorder.text("stdout") == b"".join(b"%d\n" % n for n in numbers) and recorder.text(
        "stderr"
    ) == b"".join(b"e%d\n" % n for n in numbers)


# --- what a run leaves and finds there ---------------------------------------------------------------------


async def test_a_run_leaves_nothing_but_the_supervisor_and_is_for_us_alone_meanwhile(box: Box) -> None:
    run = box.run("umask; while [ ! -e go ]; do sleep 0.05; done; pwd; exit 3")
    task = asyncio.create_task(perform(run))
    await until(lambda: recorder_of(run).text("stdout") != b"")
    assert box.folder.stat().st_mode & 0o777 == 0o700
    assert (box.folder / "command").stat().st_mode & 0o777 == 0o700
    assert (box.folder / "launch").stat().st_mode & 0o077 == 0
    box.file("go").touch()
    assert (await task).exit_code == 3
    left = [path.relative_to(box.path / "state") for path in (box.path / "state").rglob("*")]
    assert sorted(str(path).partition("-")[0] for path in left) == ["attempts", "supervisor"]


async def test_a_command_s_surroundings_are_those_of_a_login(box: Box) -> None:
    machine = box.machine()
    environment = await asyncio.to_thread(machine.environment)
    assert environment["HOME"] == str(Path.home())
    assert not any(name.startswith("SSH_") for name in environment)
    launch = box.launch("pwd", working_directory=None)
    recorder = MemoryRecorder()
    run = Run(machine=machine, folder=launch.folder, recorder=recorder, launch=launch)
    await perform(run)
    assert recorder.text("stdout").decode().strip() == str(Path.home())


async def test_a_login_that_says_something_of_its_own_disturbs_nothing(tmp_path: Path) -> None:
    noise = 'ForceCommand echo "Welcome to the machine"; eval "exec $SSH_ORIGINAL_COMMAND"\n'
    noise = noise.replace("exec $", "$")
    with running_sshd(tmp_path / "sshd", settings=noise) as server, tcp_proxy(server.port) as proxy:
        box = Box(server, proxy, tmp_path)
        machine = box.machine()
        run = box.run("echo said; exit 5", machine)
        assert (await perform(run)).exit_code == 5
        assert recorder_of(run).text("stdout") == b"said\n"
        machine.close()


async def test_a_login_without_a_shell_ends_the_attempt_with_what_it_says(tmp_path: Path) -> None:
    closed = "ForceCommand echo This account is currently not available. >&2; exit 1\n"
    with running_sshd(tmp_path / "sshd", settings=closed) as server, tcp_proxy(server.port) as proxy:
        box = Box(server, proxy, tmp_path)
        machine = box.machine()
        outcome = await perform(box.run("true", machine))
        assert "This account is currently not available." in str(outcome.reason)
        machine.close()


async def test_a_supervisor_that_was_removed_there_is_put_there_again(box: Box) -> None:
    machine = box.machine()
    assert (await perform(box.run("exit 3", machine))).exit_code == 3
    for script in (box.path / "state").glob("supervisor-*"):
        script.unlink()
    assert (await perform(box.run("exit 4", machine))).exit_code == 4


async def test_a_folder_that_cannot_be_written_to_is_said_at_once(box: Box) -> None:
    box.file("plain").touch()
    machine = box.machine(state_folder=str(box.file("plain") / "state"))
    outcome = await perform(box.run("true", machine))
    assert outcome.exit_code is None
    assert f"{box.file('plain')}/state cannot be made" in str(outcome.reason)


# --- who is not let near it --------------------------------------------------------------------------------


async def test_d1_an_unknown_host_key_ends_the_attempt_with_nothing_sent(box: Box) -> None:
    machine = box.machine(box.connection(known_hosts_file=box.file("none")))
    outcome = await perform(box.run("touch ran", machine))
    assert outcome.exit_code is None
    assert str(outcome.reason).startswith("host key unknown")
    assert not box.file("ran").exists()


async def test_d7_a_refused_login_ends_the_attempt_with_its_reason(box: Box) -> None:
    key = await asyncio.to_thread(box.sshd.new_key, "refused", may_log_in=False)
    outcome = await perform(box.run("touch ran", box.machine(box.connection(private_key=key))))
    assert "refused" in str(outcome.reason)
    assert not box.file("ran").exists()


async def test_d2_a_key_that_changes_during_a_run_is_no_end_of_it(box: Box) -> None:
    """Its command goes on over there; who stands in between gets nothing, and nobody starts it again."""
    connection = box.connection()
    run = box.run(COUNTS, box.machine(connection))
    task = asyncio.create_task(perform(run))
    await until(lambda: b"2\n" in recorder_of(run).text("stdout"))
    known = box.file("known_hosts")
    honest = known.read_text()
    other = await asyncio.to_thread(new_key, box.file("other"))
    known.write_text(f"[127.0.0.1]:{box.proxy.port} {other.with_suffix('.pub').read_text()}")
    box.proxy.cut_all()
    await asyncio.sleep(1)
    assert not task.done()
    known.write_text(honest)
    assert (await task).exit_code == 7
    assert counted(run)


# --- cuts --------------------------------------------------------------------------------------------------


async def test_d3_a_connection_that_is_cut_and_comes_back_loses_no_byte_and_starts_nothing(box: Box) -> None:
    run = box.run(COUNTS)
    task = asyncio.create_task(perform(run))
    await until(lambda: b"2\n" in recorder_of(run).text("stdout"))
    box.proxy.mode = Refuse()
    await asyncio.sleep(1)
    box.proxy.mode = Pass()
    outcome = await task
    assert (outcome.exit_code, outcome.reason) == (7, None)
    assert counted(run)
    assert box.file("starts").read_text() == "start\n"


async def test_d3_what_ended_while_nobody_could_look_is_found_with_its_exit_code(box: Box) -> None:
    run = box.run("echo start >>starts; echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 9")
    task = asyncio.create_task(perform(run))
    await until(lambda: recorder_of(run).text("stdout") == b"one\n")
    box.proxy.mode = Blackhole()
    box.file("go").touch()
    await until((box.folder / "exit").exists)
    await asyncio.sleep(1)
    assert not task.done()
    box.proxy.mode = Pass()
    assert (await task).exit_code == 9
    assert recorder_of(run).text("stdout") == b"one\ntwo\n"
    assert box.file("starts").read_text() == "start\n"


MOMENTS = {  # bytes: of a greeting, a login, what is sent for a start; of its answers
    "up": [50, 1200, 2600, 3500, 6000, 12000, 20000, 28000],
    "down": [50, 1200, 1800, 2200, 2600, 3000, 3400, 3800],
}


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_d3_a_cut_at_any_moment_of_a_start_leads_to_one_start(box: Box, direction: Any) -> None:
    """From the greeting to the lost answer."""
    cuts = 0
    for number, byte_count in enumerate(MOMENTS[direction]):
        box.proxy.mode = CutAfter(byte_count, direction, times=1)
        run = box.run(f"echo start >>starts.{number}; exit 6", name=f"attempt{number}")
        outcome = await perform(run)
        assert (outcome.exit_code, outcome.reason) == (6, None), byte_count
        assert box.file(f"starts.{number}").read_text() == "start\n", byte_count
        cuts += box.proxy.cuts
    assert cuts >= 5


async def test_d4_a_machine_that_never_comes_back_is_an_unknown_outcome(box: Box) -> None:
    begun = datetime.now(UTC)
    run = box.run("echo begun; sleep 60", lost_after_seconds=1.5)
    task = asyncio.create_task(perform(run))
    await until(lambda: recorder_of(run).text("stdout") == b"begun\n")
    box.proxy.mode = Refuse()
    outcome = await task
    assert outcome.exit_code is None
    assert str(outcome.reason).startswith("outcome unknown: host box has not been reachable since 2")
    since = datetime.strptime(str(outcome.reason)[-23:], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    assert abs((since - begun).total_seconds()) < 30
    assert recorder_of(run).outcome == outcome


async def test_the_job_outlives_the_server_s_end_of_its_connection(box: Box) -> None:
    machine = box.machine()
    run = box.run(COUNTS, machine)
    task = asyncio.create_task(perform(run))
    await until(lambda: b"2\n" in recorder_of(run).text("stdout"))
    session = await asyncio.to_thread(lambda: int(box.connections[-1].run("echo $PPID").stdout))
    os.kill(session, signal.SIGKILL)
    assert (await task).exit_code == 7
    assert counted(run)


async def test_a_cancel_waits_for_the_network_and_then_ends_the_tree(box: Box) -> None:
    machine = box.machine()
    run = box.run("echo $$; exec sleep 60", machine)
    task = asyncio.create_task(perform(run))
    await until(lambda: recorder_of(run).text("stdout") != b"")
    box.proxy.mode = Refuse()
    with pytest.raises(MachineUnreachable):
        await asyncio.to_thread(machine.cancel, run.folder, grace_seconds=5)
    box.proxy.mode = Pass()
    await asyncio.to_thread(machine.cancel, run.folder, grace_seconds=5)
    outcome = await task
    assert (outcome.exit_code, outcome.reason) == (-signal.SIGTERM, "cancelled")


# --- output and its price ----------------------------------------------------------------------------------


class Timed(MemoryRecorder):
    """When each chunk was recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []

    async def output(self, chunks: Sequence[Chunk]) -> None:
        now = time.time()
        for chunk in chunks:
            self.late += [now - float(line) for line in chunk.data.split()]
        await super().output(chunks)


async def test_many_jobs_on_one_host_are_watched_by_one_shell_within_a_second(box: Box) -> None:
    connection = box.connection()
    assert isinstance(connection, Counting)
    machine = box.machine(connection)
    script = "i=0; while [ $i -lt 12 ]; do i=$((i+1)); date +%s.%N; sleep 0.2; done"
    runs = [box.run(script, machine, name=f"many{n}", recorder=Timed()) for n in range(8)]
    outcomes = await asyncio.gather(*(perform(run) for run in runs))
    assert [outcome.exit_code for outcome in outcomes] == [0] * 8
    # One shell that watches; for each run a start and a removal; the supervisor's installation.
    assert connection.commands <= 1 + 2 * 8 + 2
    late = sorted(one for run in runs for one in run.recorder.late)  # type: ignore[attr-defined]
    assert len(late) == 8 * 12
    assert late[len(late) // 2] < 1


async def test_c1_c2_much_output_comes_whole_and_quickly(box: Box) -> None:
    run = box.run("seq 1 200000; head -c 30000000 /dev/zero | tr '\\0' x >&2")
    begun = time.monotonic()
    assert (await perform(run)).exit_code == 0
    assert time.monotonic() - begun < 30
    assert recorder_of(run).text("stdout") == b"".join(b"%d\n" % n for n in range(1, 200_001))
    assert recorder_of(run).text("stderr") == b"x" * 30_000_000

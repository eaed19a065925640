"""What holds for every machine that runs commands, here and behind SSH.

FAULTS.md: A3 A6 A17, C1-C3 C5 C6 C8, G9, H7, B4.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batchd_flows.local_machine import LocalMachine
from batchd_flows.ssh_machine import SshMachine
from batchd_flows.supervisor import Launch, Machine, RunState, RunStatus, SupervisorError
from batchd_infra.ssh import SshConnection
from tests.sshd import running_sshd
from tests.waiting import need_programs, need_root

PATH = "/usr/local/bin:/usr/bin:/bin"


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


# bash is /bin/sh on many a host; it is tried where shells differ. What differs, differs over SSH too: one
# shell is enough there for every day.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ssh-busybox", "ssh-bash")]
every_shell = pytest.mark.parametrize("runner", ["dash", "busybox", "bash", "ssh-dash", *SLOW], indirect=True)


@dataclass
class Runner:
    """A machine, a folder for its attempts, and what the tests say about both."""

    machine: Machine
    path: Path
    folders: list[Path] = field(default_factory=list)

    def launch(self, script: str, **options: Any) -> Launch:
        folder = self.path / f"attempt-{len(self.folders)}"
        self.folders.append(folder)
        defaults: dict[str, Any] = {
            "environment": {"PATH": PATH},
            "working_directory": str(self.path),
            "kill_after_seconds": 1,
        }
        return Launch(folder=folder, script=textwrap.dedent(script), **(defaults | options))

    def start(self, script: str, **options: Any) -> Path:
        launch = self.launch(script, **options)
        self.machine.start(launch)
        return launch.folder

    def wait(self, folder: Path, *, seconds: float = 20) -> RunStatus:
        wait_until(lambda: self.machine.status(folder).state is not RunState.RUNNING, seconds=seconds)
        return self.machine.status(folder)

    def run(self, script: str, **options: Any) -> tuple[RunStatus, bytes, bytes]:
        folder = self.start(script, **options)
        status = self.wait(folder)
        return status, self.read(folder, "stdout"), self.read(folder, "stderr")

    def read(self, folder: Path, stream: Any) -> bytes:
        parts: list[bytes] = []
        offset = 0
        while part := self.machine.read(folder, stream, offset, 1 << 20):
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def said(self, folder: Path, text: bytes) -> None:
        wait_until(lambda: text in self.read(folder, "stdout"))

    def supervisor(self, folder: Path) -> int:
        pid = self.machine.status(folder).pid
        assert pid is not None
        return pid


def marked(folder: Path) -> bool:
    """Whether a process of the attempt lives; what `gone` says too, without its shell."""
    mark = (folder / "mark").read_bytes().strip() if (folder / "mark").exists() else b""
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark and mark in environ.read_bytes():
                return True
    return False


@pytest.fixture(scope="session")
def busybox_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tools = tmp_path_factory.mktemp("busybox")
    subprocess.run(["busybox", "--install", "-s", str(tools)], check=True)
    return tools


class LiteralSshMachine(SshMachine):
    """Its attempts lie where the test says: on the same disk, for the tests look into them."""

    def _folder(self, folder: Path) -> str:
        return str(folder)


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshConnection]:
    with running_sshd(tmp_path_factory.mktemp("ssh") / "sshd") as server:
        connection = SshConnection(server.target())
        yield connection
        connection.close()


def machine_of(request: pytest.FixtureRequest, name: str) -> Machine:
    program = shutil.which(name.removeprefix("ssh-"))
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is to be installed here")
        pytest.skip(f"{name} is not installed")
    shell, path = [program], "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if name.endswith("busybox"):
        # Its own tee, grep, ln, sleep and setsid too, as on a host that has nothing else.
        tools = request.getfixturevalue("busybox_tools")
        shell, path = [str(tools / "sh")], str(tools)
    elif name.endswith("bash"):
        shell = [program, "--posix"]
    if not name.startswith("ssh-"):
        return LocalMachine(shell=shell, path=path)
    return LiteralSshMachine(
        request.getfixturevalue("connection"),
        host_name="box",
        state_folder=str(request.getfixturevalue("tmp_path") / "state"),
        shell=shell,
        path=path,
        fresh_seconds=0,  # the tests change what lies there behind its back
    )


@pytest.fixture(params=["dash", "busybox", "ssh-dash", SLOW[0]])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    machine = machine_of(request, request.param)
    runner = Runner(machine, tmp_path)
    yield runner
    for folder in runner.folders:
        if machine.status(folder).state is not RunState.RUNNING and not marked(folder):
            continue
        machine.cancel(folder, grace_seconds=0)
        wait_until(lambda folder=folder: machine.gone(folder))  # type: ignore[misc]
    if isinstance(machine, SshMachine):
        machine.close()


# --- how it ends -------------------------------------------------------------------------------------------


@every_shell
@pytest.mark.parametrize("code", [0, 1, 3, 125, 128, 130, 137, 143, 255])
def test_an_exit_code_is_an_exit_code_also_above_128(runner: Runner, code: int) -> None:
    status, _, _ = runner.run(f"exit {code}")
    assert (status.state, status.exit_code, status.signal, status.reason) == (
        RunState.ENDED,
        code,
        None,
        None,
    )


@every_shell
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGRTMIN + 1]
)
def test_an_end_by_signal_is_no_exit_code(runner: Runner, number: int) -> None:
    status, _, _ = runner.run(f"ulimit -c 0; kill -{number} $$")
    assert (status.exit_code, status.signal) == (None, number)
    assert status.reason is not None
    assert f"signal {int(number)}" in status.reason


def test_not_found_and_not_executable_are_told_apart(runner: Runner) -> None:
    not_found, _, _ = runner.run("no-such-command")
    assert (not_found.exit_code, not_found.reason) == (127, "command not found")
    not_executable, _, _ = runner.run("/etc/passwd")
    assert (not_executable.exit_code, not_executable.reason) == (126, "not executable")


@every_shell
def test_a_missing_interpreter_is_named(runner: Runner) -> None:
    status, _, stderr = runner.run("#!/no/such/interpreter -x\n")
    assert (status.exit_code, status.reason) == (127, "interpreter '/no/such/interpreter' not found")
    assert b"/no/such/interpreter" in stderr


def test_an_interpreter_that_cannot_be_executed_is_named(runner: Runner) -> None:
    status, _, _ = runner.run("#!/etc/passwd\n")
    assert (status.exit_code, status.reason) == (126, "interpreter '/etc/passwd' is not executable")


def test_the_first_line_chooses_the_program_and_its_one_argument(runner: Runner) -> None:
    status, stdout, _ = runner.run(
        f"#!{sys.executable} -I\nimport sys; print(sys.flags.isolated, sys.argv)\n"
    )
    assert status.exit_code == 0
    assert stdout.startswith(b"1 ['")


def test_the_times_of_begin_and_end_are_known(runner: Runner) -> None:
    status, _, _ = runner.run("sleep 0.1")
    assert status.started_at is not None
    assert status.ended_at is not None
    assert 0.05 < (status.ended_at - status.started_at).total_seconds() < 10


def test_killing_the_command_s_shell_is_an_end_by_signal(runner: Runner) -> None:
    folder = runner.start("echo $$; sleep 60")
    runner.said(folder, b"\n")
    os.kill(int(runner.read(folder, "stdout")), signal.SIGKILL)
    assert runner.wait(folder).signal == signal.SIGKILL


# --- output ------------------------------------------------------------------------------------------------


def test_200000_lines_arrive_in_order(runner: Runner) -> None:
    _, stdout, _ = runner.run("seq 1 200000")
    assert stdout == b"".join(b"%d\n" % number for number in range(1, 200_001))


def test_a_line_of_50_mb_arrives_whole(runner: Runner) -> None:
    _, stdout, _ = runner.run("head -c 52428800 /dev/zero | tr '\\0' x")
    assert len(stdout) == 50 << 20
    assert stdout.count(b"x") == len(stdout)


def test_bytes_arrive_as_they_were_written(runner: Runner) -> None:
    every = bytes(range(256)) + b"\xed\xa0\x80\x1b[31m"
    (runner.path / "bytes").write_bytes(every)
    _, stdout, _ = runner.run("cat bytes")
    assert stdout == every


def test_what_is_written_just_before_the_exit_is_there_when_the_exit_is(runner: Runner) -> None:
    for _ in range(5):
        status, stdout, stderr = runner.run("head -c 60000 /dev/zero; echo last >&2; kill -9 $$")
        assert (status.signal, len(stdout), stderr) == (9, 60_000, b"last\n")


def test_a_job_that_closes_its_output_goes_on(runner: Runner) -> None:
    status, _, _ = runner.run("exec >&- 2>&-; sleep 0.5; touch went-on; exit 4")
    assert status.exit_code == 4
    assert (runner.path / "went-on").exists()


@every_shell
def test_a_grandchild_that_keeps_the_pipe_open_delays_nothing(runner: Runner) -> None:
    begun = time.monotonic()
    folder = runner.start("sleep 60 & echo last words; exit 5")
    assert runner.wait(folder).exit_code == 5
    assert time.monotonic() - begun < 3
    assert runner.read(folder, "stdout") == b"last words\n"
    assert not runner.machine.gone(folder)


def test_what_a_grandchild_writes_after_the_end_does_not_kill_it(runner: Runner) -> None:
    folder = runner.start("(sleep 1; echo still here; touch survived) & exit 0")
    runner.wait(folder)
    wait_until((runner.path / "survived").exists)


@every_shell
def test_output_above_the_limit_is_cut_and_the_job_never_notices(runner: Runner) -> None:
    status, stdout, stderr = runner.run(
        "set -e; seq 1 100000; seq 1 100000; echo fine >&2", output_limit_bytes=10_240
    )
    assert (status.exit_code, status.output_cut) == (0, True)
    assert (len(stdout), stderr) == (10_240, b"fine\n")


def test_output_within_the_limit_is_not_called_cut(runner: Runner) -> None:
    status, stdout, _ = runner.run("head -c 10240 /dev/zero", output_limit_bytes=10_240)
    assert (len(stdout), status.output_cut) == (10_240, False)


def test_a_full_disk_does_not_reach_the_job(runner: Runner) -> None:
    launch = runner.launch("set -e; seq 1 50000; echo fine >&2; exit 6")
    launch.folder.mkdir()
    (launch.folder / "stdout").symlink_to("/dev/full")
    runner.machine.start(launch)
    status = runner.wait(launch.folder)
    assert (status.exit_code, status.output_cut) == (6, True)
    assert runner.read(launch.folder, "stderr") == b"fine\n"
    (launch.folder / "stdout").unlink()


def test_the_exit_code_has_its_place_on_a_full_disk(runner: Runner, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        small = Runner(runner.machine, disk)
        folder = small.start("head -c 1000000 /dev/zero; exit 7")
        status = small.wait(folder)
        assert shutil.disk_usage(disk).free == 0
        assert (status.exit_code, status.output_cut) == (7, True)
        wait_until(lambda: runner.machine.gone(folder))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# --- surroundings ------------------------------------------------------------------------------------------


@every_shell
def test_the_environment_is_what_was_asked_for(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    asked = {
        "PATH": PATH,
        "PLAIN": "a b",
        "HARD": "quote' \" $(touch pwned) `touch pwned`\nline two \\ é",
        "with-dash.dot": "x y",
        "IFS": "/",
        "OPTIND": "no number",
        "EMPTY": "",
        "batchd_leader": "/bin/false",
    }
    # No shell in between: dash itself refuses to begin with such an OPTIND.
    script = "#!/bin/cat /proc/self/environ\n"
    _, stdout, _ = runner.run(script, environment=asked)
    shown = stdout.decode().removesuffix(script)
    seen = dict(item.split("=", 1) for item in shown.split("\0") if item)
    assert len(seen.pop("BATCHD_ATTEMPT_MARK")) == 32
    seen.pop("PWD", None)
    seen.pop("_", None)  # bash
    assert seen == asked
    assert not (runner.path / "pwned").exists()


@every_shell
def test_g9_no_descriptor_is_inherited(runner: Runner) -> None:
    with (runner.path / "database").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        _, stdout, _ = runner.run("#!/bin/ls /proc/self/fd\n")
    listed = stdout.decode().split()
    assert [item for item in listed if item.isdigit()] == [
        "0",
        "1",
        "2",
        "3",
    ]  # 3 is the folder that ls reads


def test_standard_input_is_empty(runner: Runner) -> None:
    _, stdout, _ = runner.run("readlink /proc/$$/fd/0; wc -c")
    assert stdout.split() == [b"/dev/null", b"0"]


@every_shell
def test_no_signal_is_ignored_in_the_command(runner: Runner) -> None:
    _, stdout, _ = runner.run("#!/bin/cat /proc/self/status\n")
    lines = dict(line.split(":", 1) for line in stdout.decode().splitlines() if ":" in line)
    # 32 and 33 are the C library's own: whatever `make` starts has them ignored; no shell changes that.
    assert int(lines["SigIgn"], 16) & ~(0b11 << 31) == 0


def test_it_has_a_session_of_its_own(runner: Runner) -> None:
    _, stdout, _ = runner.run("cut -d' ' -f5,6 /proc/$$/stat; echo $$")
    group, session, pid = stdout.split()
    assert group == session == pid


def test_it_runs_in_the_working_directory(runner: Runner) -> None:
    (runner.path / "a dir's").mkdir()
    _, stdout, _ = runner.run("pwd", working_directory=str(runner.path / "a dir's"))
    assert stdout.decode() == f"{runner.path}/a dir's\n"


@every_shell
def test_at_rest_there_is_one_shell_and_two_readers(runner: Runner) -> None:
    folder = runner.start("echo begun; exec sleep 60")
    runner.said(folder, b"begun")
    supervisor = runner.supervisor(folder)
    ours = processes_of_session(supervisor)
    assert len(ours) == 3
    assert sum(map(proportional_kib, ours)) < 3 * 1024


def fields_of(pid: int) -> list[str]:
    """State, parent, group, session, …; nothing for what is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [] if fields[0] in "ZX" else fields


def alive(pid: int) -> bool:
    return bool(fields_of(pid))


def processes_of_session(session: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (fields := fields_of(pid)) and int(fields[3]) == session]


def proportional_kib(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


# --- starting ----------------------------------------------------------------------------------------------


@every_shell
def test_many_starts_at_once_are_one_start(runner: Runner) -> None:
    launch = runner.launch("echo start >>witness; sleep 0.2")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: runner.machine.start(launch), range(8)))
    assert runner.wait(launch.folder).exit_code == 0
    runner.machine.start(launch)
    assert runner.wait(launch.folder).exit_code == 0
    assert (runner.path / "witness").read_text() == "start\n"


def test_a_second_supervisor_of_one_folder_runs_nothing(runner: Runner) -> None:
    launch = runner.launch("echo start >>witness; sleep 1")
    runner.machine.start(launch)
    (launch.folder / "pid").rename(launch.folder / "kept")  # so that the second starter does not see it
    (launch.folder / "pid").symlink_to("kept")
    runner.machine.start(launch)
    assert runner.wait(launch.folder).exit_code == 0
    assert (runner.path / "witness").read_text() == "start\n"


def test_what_was_only_prepared_can_be_started_later(runner: Runner) -> None:
    launch = runner.launch("echo start >>witness")
    assert runner.machine.status(launch.folder).state is RunState.ABSENT
    with pytest.raises(SupervisorError, match="did not start"):
        LocalMachine(shell=("/bin/false",)).start(launch)
    assert runner.machine.status(launch.folder).state is RunState.PREPARED
    assert runner.machine.gone(launch.folder)
    runner.machine.start(launch)
    assert runner.wait(launch.folder).exit_code == 0
    assert (runner.path / "witness").read_text() == "start\n"


def test_files_that_a_power_cut_emptied_are_written_again(runner: Runner) -> None:
    launch = runner.launch("exit 9")
    with pytest.raises(SupervisorError):
        LocalMachine(shell=("/bin/false",)).start(launch)
    for name in ("command", "launch", "settings", "mark", "exit.part"):
        (launch.folder / name).write_bytes(b"")
    runner.machine.start(launch)
    assert runner.wait(launch.folder).exit_code == 9


def test_a_missing_working_directory_is_said_at_once(runner: Runner) -> None:
    with pytest.raises(SupervisorError, match="/no/such/folder does not exist"):
        runner.start("true", working_directory="/no/such/folder")


def test_a_folder_that_cannot_be_made_is_said_at_once(runner: Runner) -> None:
    (runner.path / "file").touch()
    launch = Launch(folder=runner.path / "file" / "attempt", script="true", environment={})
    with pytest.raises(SupervisorError, match="cannot be prepared"):
        runner.machine.start(launch)


def test_a_value_with_a_nul_is_refused(runner: Runner) -> None:
    with pytest.raises(SupervisorError, match="NUL"):
        runner.start("true", environment={"A": "x\0y"})


STARTER = """
import sys, time
from pathlib import Path
from batchd_flows.local_machine import LocalMachine
from batchd_flows.supervisor import Launch
folder, shell, path = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3]
LocalMachine(shell=shell, path=path).start(Launch(
    folder=folder, script="echo begun; sleep 1; echo done; exit 8",
    environment={"PATH": "/usr/bin:/bin"}, working_directory=str(folder.parent),
))
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_the_job_outlives_whoever_started_it(runner: Runner, number: signal.Signals) -> None:
    machine = runner.machine
    if not isinstance(machine, LocalMachine):
        pytest.skip("the same for a connection that is cut: test_ssh_machine.py")
    folder = runner.launch("").folder
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder), ",".join(machine._shell), machine._path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"started\n"
    os.killpg(starter.pid, number)  # as a terminal does: the whole group
    starter.communicate()
    assert runner.wait(folder).exit_code == 8
    assert runner.read(folder, "stdout") == b"begun\ndone\n"


@every_shell
def test_the_supervisor_and_its_readers_outlive_a_term_to_all_of_them(runner: Runner) -> None:
    folder = runner.start("echo begun; sleep 0.7; echo done; exit 8")
    runner.said(folder, b"begun")
    supervisor = runner.supervisor(folder)
    for pid in processes_of_session(supervisor):
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
    assert runner.wait(folder).exit_code == 8
    assert runner.read(folder, "stdout") == b"begun\ndone\n"


# --- who it is ---------------------------------------------------------------------------------------------


def test_a_killed_supervisor_leaves_a_lost_attempt_whose_tree_can_be_ended(runner: Runner) -> None:
    folder = runner.start("echo begun; sleep 60; echo never", timeout_seconds=3000)
    runner.said(folder, b"begun")
    session = runner.supervisor(folder)
    os.kill(session, signal.SIGKILL)
    assert runner.wait(folder).state is RunState.LOST
    assert not runner.machine.gone(folder)
    with pytest.raises(SupervisorError, match="still has processes"):
        runner.machine.remove(folder)
    runner.machine.cancel(folder, grace_seconds=5)
    wait_until(lambda: runner.machine.gone(folder))
    assert runner.machine.status(folder).reason == "cancelled"
    runner.machine.remove(folder)
    assert runner.machine.status(folder).state is RunState.ABSENT
    wait_until(lambda: not processes_of_session(session), seconds=5)


def test_the_watch_of_a_killed_supervisor_is_part_of_what_is_left(runner: Runner) -> None:
    folder = runner.start("echo $$; exec sleep 60", timeout_seconds=3000)
    runner.said(folder, b"\n")
    wait_until((folder / "watcher").exists)
    session = runner.supervisor(folder)
    os.kill(session, signal.SIGKILL)
    os.kill(int(runner.read(folder, "stdout")), signal.SIGKILL)
    assert runner.wait(folder).state is RunState.LOST
    assert not runner.machine.gone(folder)
    runner.machine.cancel(folder, grace_seconds=5)
    wait_until(lambda: runner.machine.gone(folder))
    wait_until(lambda: not processes_of_session(session), seconds=5)


@pytest.mark.parametrize("changed", ["pid", "start time", "boot"])
def test_another_process_is_not_mistaken_for_the_supervisor(runner: Runner, changed: str) -> None:
    folder = runner.start("echo begun; exec sleep 60")
    runner.said(folder, b"begun")
    honest = (folder / "pid").read_text()
    pid, start_ticks, boot = honest.split()
    forged = {
        "pid": f"{os.getpid()} {start_ticks} {boot}\n",
        "start time": f"{pid} {int(start_ticks) + 1} {boot}\n",
        "boot": f"{pid} {start_ticks} 00000000-0000-0000-0000-000000000000\n",
    }[changed]
    (folder / "pid").write_text(forged)
    assert runner.machine.status(folder).state is RunState.LOST
    (folder / "pid").write_text(honest)
    assert runner.machine.status(folder).state is RunState.RUNNING


def test_after_a_reboot_nothing_that_lives_is_taken_for_the_attempt(runner: Runner) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        folder = runner.start("exit 0")
        runner.wait(folder)
        wait_until(lambda: runner.machine.gone(folder))
        (folder / "exit").unlink()
        ticks = Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(")")[2].split()[19]
        (folder / "job").write_text(f"{stranger.pid} {ticks}\n")
        (folder / "pid").write_text(f"{stranger.pid} {ticks} 00000000-0000-0000-0000-000000000000\n")
        assert runner.machine.status(folder).state is RunState.LOST
        assert runner.machine.gone(folder)
        runner.machine.cancel(folder, grace_seconds=0)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_exit_that_is_not_whole_is_no_exit(runner: Runner) -> None:
    folder = runner.start("exit 0")
    runner.wait(folder)
    wait_until(lambda: runner.machine.gone(folder))
    (folder / "exit").write_bytes(b"")
    assert runner.machine.status(folder).state is RunState.LOST


# --- ending it ---------------------------------------------------------------------------------------------


@every_shell
def test_cancelling_ends_the_tree_and_says_so(runner: Runner) -> None:
    folder = runner.start("sleep 60 & sleep 61 & echo begun; wait")
    runner.said(folder, b"begun")
    begun = time.monotonic()
    runner.machine.cancel(folder, grace_seconds=30)
    assert time.monotonic() - begun < 2
    status = runner.wait(folder)
    assert (status.state, status.signal, status.reason) == (RunState.ENDED, signal.SIGTERM, "cancelled")
    wait_until(lambda: runner.machine.gone(folder), seconds=3)


def test_a_tree_that_ignores_term_is_killed_after_the_grace(runner: Runner) -> None:
    folder = runner.start("trap '' TERM; echo begun; while :; do sleep 0.1; done")
    runner.said(folder, b"begun")
    begun = time.monotonic()
    runner.machine.cancel(folder, grace_seconds=1)
    status = runner.wait(folder)
    assert (status.signal, status.reason) == (signal.SIGKILL, "cancelled")
    assert 0.9 < time.monotonic() - begun < 5


def test_the_end_is_seen_only_when_the_whole_tree_is_gone(runner: Runner) -> None:
    folder = runner.start("(trap '' TERM; echo begun; while :; do sleep 0.1; done) & wait")
    runner.said(folder, b"begun")
    begun = time.monotonic()
    runner.machine.cancel(folder, grace_seconds=1)
    runner.wait(folder)
    assert time.monotonic() - begun > 0.9


def test_what_forked_twice_and_left_the_session_is_ended_too(runner: Runner) -> None:
    folder = runner.start(
        "(setsid sh -c 'echo $$ >daemon; exec sleep 60' &) ; sleep 0.1; echo begun; sleep 60"
    )
    runner.said(folder, b"begun")
    wait_until(lambda: (runner.path / "daemon").exists() and (runner.path / "daemon").read_text() != "")
    daemon = int((runner.path / "daemon").read_text())
    runner.machine.cancel(folder, grace_seconds=5)
    runner.wait(folder)
    wait_until(lambda: not alive(daemon))


@every_shell
def test_what_wiped_its_environment_is_ended_by_session_or_descent(runner: Runner) -> None:
    folder = runner.start(
        """
        (env -i sh -c 'echo $$ >orphan; exec sleep 60' &)
        setsid env -i sh -c 'echo $$ >child; exec sleep 60' &
        while [ ! -s orphan ] || [ ! -s child ]; do sleep 0.05; done
        echo begun; wait
        """
    )
    runner.said(folder, b"begun")
    runner.machine.cancel(folder, grace_seconds=5)
    runner.wait(folder)
    for name in ("orphan", "child"):
        pid = int((runner.path / name).read_text())
        wait_until(lambda pid=pid: not alive(pid))  # type: ignore[misc]


# --- in a control group of its own, where one may be made ---


def groups_below_ours() -> Path | None:
    """Where a supervisor that we start may make control groups (v2)."""
    own = next(
        (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), ""
    )
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        place = Path(f"{top}{own}")
        if own and os.access(place / "cgroup.procs", os.W_OK):
            return place
    return None


needs_groups = pytest.mark.skipif(groups_below_ours() is None, reason="no control group may be made here")

# It wipes its environment, leaves the session and loses its parent.
ESCAPES = (
    "(setsid env -i sh -c 'echo $$ >escaped; exec sleep 60' &)\nwhile [ ! -s escaped ]; do sleep 0.05; done\n"
)


def group_of(folder: Path) -> Path:
    group = Path((folder / "group").read_text().strip())
    assert group.parent == groups_below_ours()
    return group


def no_group_is_left(folder: Path) -> bool:
    mark = (folder / "mark").read_text().strip()
    place = groups_below_ours()
    return place is None or not list(place.glob(f"*{mark}*"))


@needs_groups
@every_shell
def test_h7_what_hides_from_everything_else_is_ended_by_its_control_group(runner: Runner) -> None:
    folder = runner.start(f"{ESCAPES} trap 'echo term' TERM; echo begun; while :; do sleep 0.05; done")
    runner.said(folder, b"begun")
    escaped = int((runner.path / "escaped").read_text())
    assert str(escaped) in (group_of(folder) / "cgroup.procs").read_text().split()
    assert str(runner.supervisor(folder)) not in (group_of(folder) / "cgroup.procs").read_text().split()
    runner.machine.cancel(folder, grace_seconds=1)
    assert runner.wait(folder).reason == "cancelled"
    assert not alive(escaped)
    assert runner.read(folder, "stdout").count(b"term") == 1
    assert no_group_is_left(folder)


@needs_groups
def test_h7_it_is_ended_too_when_its_supervisor_was_killed(runner: Runner) -> None:
    folder = runner.start(f"{ESCAPES} echo begun; sleep 60")
    runner.said(folder, b"begun")
    os.kill(runner.supervisor(folder), signal.SIGKILL)
    assert runner.wait(folder).state is RunState.LOST
    assert not runner.machine.gone(folder)
    runner.machine.cancel(folder, grace_seconds=5)
    wait_until(lambda: runner.machine.gone(folder))
    assert not alive(int((runner.path / "escaped").read_text()))
    wait_until(lambda: no_group_is_left(folder))


@needs_groups
def test_what_forks_faster_than_anybody_looks_is_ended(runner: Runner) -> None:
    folder = runner.start(
        f"{ESCAPES} trap '' TERM; echo begun\n"
        "f() { (trap '' TERM; sleep 0.02; f) & }\nfor i in 1 2 3 4 5 6 7 8; do f; done; wait; sleep 60"
    )
    runner.said(folder, b"begun")
    runner.machine.cancel(folder, grace_seconds=0.2)
    assert runner.wait(folder).reason == "cancelled"
    assert no_group_is_left(folder)


@needs_groups
def test_groups_that_a_command_makes_inside_its_own_go_with_it(runner: Runner) -> None:
    folder = runner.start(
        """
        read -r group <"${0%/*}/group"
        mkdir "$group/inner"
        sh -c 'echo $$ >"$1/inner/cgroup.procs"; exec env -i setsid sleep 60' sh "$group" &
        until read -r pid <"$group/inner/cgroup.procs"; do sleep 0.05; done
        echo "begun $pid"; wait
        """
    )
    runner.said(folder, b"begun")
    runner.machine.cancel(folder, grace_seconds=1)
    runner.wait(folder)
    assert not alive(int(runner.read(folder, "stdout").split()[1]))
    assert no_group_is_left(folder)


@every_shell
def test_a_command_that_ends_leaves_no_group(runner: Runner) -> None:
    folder = runner.start("exit 3")
    assert runner.wait(folder).exit_code == 3
    wait_until(lambda: no_group_is_left(folder))


@needs_groups
def test_a_group_of_what_was_left_on_purpose_goes_with_it_or_after_it(runner: Runner) -> None:
    """When the folder is removed, or when the next command starts; groups of others stay."""
    strangers = [groups_below_ours() / name for name in ("batchd-x", f"not-ours.{os.getpid()}.1")]  # type: ignore[operator]
    for stranger in strangers:
        stranger.mkdir(exist_ok=True)
    try:
        folder = runner.start(f"{ESCAPES} exit 0")
        assert runner.wait(folder).exit_code == 0
        escaped, group = int((runner.path / "escaped").read_text()), group_of(folder)
        runner.machine.remove(folder)
        assert group.is_dir()
        os.kill(escaped, signal.SIGKILL)
        wait_until(lambda: not alive(escaped))
        runner.wait(runner.start("exit 0"))
        assert not group.exists()
        assert all(stranger.is_dir() for stranger in strangers)
    finally:
        for stranger in strangers:
            stranger.rmdir()


@needs_groups
def test_a_group_is_removed_with_the_folder_of_a_supervisor_that_could_not(runner: Runner) -> None:
    folder = runner.start("echo begun; sleep 60")
    runner.said(folder, b"begun")
    os.kill(runner.supervisor(folder), signal.SIGKILL)
    group = group_of(folder)
    (group / "cgroup.kill").write_text("1")
    wait_until(lambda: runner.machine.gone(folder))
    runner.machine.remove(folder)
    wait_until(lambda: not group.exists())


@pytest.mark.parametrize("shell", ["dash", "busybox sh", "bash --posix"])
def test_where_no_group_may_be_made_the_tree_is_ended_all_the_same(shell: str, tmp_path: Path) -> None:
    need_root()
    need_programs("unshare", "mount", shell.split()[0])
    hidden = f'mount -t tmpfs tmpfs /sys/fs/cgroup && exec {shell} "$@"'
    runner = Runner(LocalMachine(shell=("unshare", "--mount", "/bin/sh", "-c", hidden, "sh")), tmp_path)
    folder = runner.start(
        "(setsid sh -c 'echo $$ >twice; exec sleep 60' &)\n"
        "while [ ! -s twice ]; do sleep 0.05; done; echo begun; sleep 60"
    )
    runner.said(folder, b"begun")
    assert not (folder / "group").exists()
    assert no_group_is_left(folder)
    runner.machine.cancel(folder, grace_seconds=5)
    assert runner.wait(folder).reason == "cancelled"
    assert not alive(int((tmp_path / "twice").read_text()))
    runner.machine.remove(folder)


def test_a_stopped_job_is_ended_too(runner: Runner) -> None:
    folder = runner.start("echo begun; kill -STOP $$")
    runner.said(folder, b"begun")
    runner.machine.cancel(folder, grace_seconds=10)
    assert runner.wait(folder, seconds=5).signal == signal.SIGTERM


def test_what_a_trap_starts_to_clean_up_is_left_to_finish(runner: Runner) -> None:
    folder = runner.start(
        "trap 'sleep 0.8; touch cleaned; exit 12' TERM; echo begun; while :; do sleep 0.1; done"
    )
    runner.said(folder, b"begun")
    runner.machine.cancel(folder, grace_seconds=20)
    status = runner.wait(folder)
    assert (status.exit_code, status.reason) == (12, "cancelled")
    assert (runner.path / "cleaned").exists()


@every_shell
def test_asking_again_sends_no_second_term_and_the_earlier_deadline_holds(runner: Runner) -> None:
    folder = runner.start("trap 'echo term' TERM; echo begun; while :; do sleep 0.05; done")
    runner.said(folder, b"begun")
    runner.machine.cancel(folder, grace_seconds=60)
    runner.said(folder, b"term")
    for _ in range(3):
        runner.machine.cancel(folder, grace_seconds=60)
    runner.machine.cancel(folder, grace_seconds=1)
    assert runner.wait(folder, seconds=10).signal == signal.SIGKILL
    assert runner.read(folder, "stdout").count(b"term") == 1


def test_cancelled_before_it_started_it_never_runs(runner: Runner) -> None:
    launch = runner.launch("touch ran")
    with pytest.raises(SupervisorError):
        LocalMachine(shell=("/bin/false",)).start(launch)
    runner.machine.cancel(launch.folder, grace_seconds=1)
    runner.machine.start(launch)
    status = runner.wait(launch.folder)
    assert (status.state, status.exit_code, status.reason) == (RunState.ENDED, None, "cancelled")
    assert not (runner.path / "ran").exists()


def test_cancelling_right_after_the_start_always_ends_it(runner: Runner) -> None:
    for _ in range(5):
        folder = runner.start("sleep 60")
        runner.machine.cancel(folder, grace_seconds=1)
        assert runner.wait(folder, seconds=10).reason == "cancelled"


def test_cancelling_what_has_ended_changes_nothing_but_ends_what_it_left(runner: Runner) -> None:
    folder = runner.start("sleep 60 & exit 2")
    runner.wait(folder)
    runner.machine.cancel(folder, grace_seconds=5)
    wait_until(lambda: runner.machine.gone(folder))
    status = runner.machine.status(folder)
    assert (status.exit_code, status.reason) == (2, None)


def test_a_running_attempt_is_not_removed(runner: Runner) -> None:
    folder = runner.start("sleep 60")
    with pytest.raises(SupervisorError, match="still has processes"):
        runner.machine.remove(folder)


def test_a_folder_is_removed_also_while_a_late_cancel_looks_at_it(runner: Runner) -> None:
    for _ in range(5):
        folder = runner.start("exit 0")
        runner.wait(folder)
        runner.machine.cancel(folder, grace_seconds=1)
        runner.machine.remove(folder)
        assert runner.machine.status(folder).state is RunState.ABSENT


def test_nothing_is_asked_of_a_folder_that_is_not_there(runner: Runner) -> None:
    nowhere = runner.path / "nowhere"
    runner.machine.cancel(nowhere, grace_seconds=1)
    runner.machine.remove(nowhere)
    assert runner.machine.gone(nowhere)
    assert runner.machine.read(nowhere, "stdout", 0, 10) == b""


# --- limits of time ----------------------------------------------------------------------------------------


def test_a_job_that_runs_too_long_is_ended(runner: Runner) -> None:
    begun = time.monotonic()
    status, _, _ = runner.run("sleep 60", timeout_seconds=0.8)
    assert (status.signal, status.reason) == (signal.SIGTERM, "timeout")
    assert 0.7 < time.monotonic() - begun < 4


def test_one_that_ignores_that_is_killed(runner: Runner) -> None:
    status, _, _ = runner.run(
        "trap '' TERM; while :; do sleep 0.1; done", timeout_seconds=0.5, kill_after_seconds=0.5
    )
    assert (status.signal, status.reason) == (signal.SIGKILL, "timeout")


@every_shell
def test_a_silent_job_is_ended(runner: Runner) -> None:
    status, stdout, _ = runner.run("echo begun; sleep 60", silence_seconds=0.8)
    assert (status.signal, status.reason, stdout) == (signal.SIGTERM, "silence", b"begun\n")


def test_one_that_speaks_is_not_also_when_its_output_is_cut(runner: Runner) -> None:
    script = "for i in 1 2 3 4 5 6 7; do seq 1 2000; sleep 0.3; done"
    status, _, _ = runner.run(script, silence_seconds=1.2, output_limit_bytes=512)
    assert (status.exit_code, status.reason, status.output_cut) == (0, None, True)


@every_shell
def test_limits_of_time_that_are_kept_leave_nothing_behind(runner: Runner) -> None:
    folder = runner.start("sleep 0.5", timeout_seconds=3000, silence_seconds=2000)
    session = runner.supervisor(folder)
    wait_until(lambda: len(processes_of_session(session)) >= 4)  # the shell, two readers, the watch
    assert runner.wait(folder).reason is None
    wait_until(lambda: not processes_of_session(session), seconds=3)


def test_a_limit_of_time_holds_when_even_the_supervisor_is_dead(runner: Runner) -> None:
    folder = runner.start("echo begun; sleep 60", timeout_seconds=1.5)
    runner.said(folder, b"begun")
    os.kill(runner.supervisor(folder), signal.SIGKILL)
    assert not runner.machine.gone(folder)
    wait_until(lambda: runner.machine.gone(folder), seconds=8)

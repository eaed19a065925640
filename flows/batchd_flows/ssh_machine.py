"""A host behind SSH, as a machine that runs commands: the same supervisor, spoken with through its shell.

An attempt's folder, named by its last part only, lies on the host in `attempts_folder`.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from batchd_flows.account import UserElsewhere
from batchd_flows.ssh_watch import HostWatch, Seen
from batchd_flows.supervisor import (
    RESERVED,
    SUPERVISOR,
    Launch,
    Machine,
    MachineRefused,
    MachineUnreachable,
    RunState,
    RunStatus,
    Stream,
    SupervisorError,
    file_bytes,
    launch_text,
    settings_text,
)
from batchd_infra.ssh import SshConnection
from batchd_infra.ssh_errors import SshError, Unreachable

STATE_FOLDER = ".batchd"  # in the login folder
FRESH_SECONDS = 0.2
LOOK_SERVES_SECONDS = 1.0  # so long, reads that find nothing new ask nothing of the host
_SCRIPT = Path(__file__).with_name("ssh_machine.sh")
_TOOLS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OP_SECONDS = 60.0
THREADS = 8


class SshMachine(Machine):
    """`shell` runs the supervisor there, and `path` is where it finds its tools (None: the usual).

    `state_folder` and `attempts_folder` are relative to the login folder, or absolute. Two installations that
    share a login need different `attempts_folder`s. A status is at most `fresh_seconds` old.
    """

    def __init__(
        self,
        connection: SshConnection,
        *,
        host_name: str,
        state_folder: str = STATE_FOLDER,
        attempts_folder: str | None = None,
        shell: Sequence[str] = ("/bin/sh",),
        path: str | None = None,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self.host_name = host_name
        self.threads = self._own_threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"ssh {host_name}")
        self._connection = connection
        self._state_folder = state_folder
        self._attempts_folder = attempts_folder or f"{state_folder}/attempts"
        self._shell = tuple(shell)
        self._path = path
        self._fresh_seconds = fresh_seconds
        self._functions = _SCRIPT.read_bytes()
        self._supervisor = SUPERVISOR.read_bytes()
        self._preparing = threading.Lock()
        self._login_folder: str | None = None
        self._installs = 0
        loop = b'while IFS= read -r request; do eval "$request"; done\n'
        script = self._functions + loop
        self._watch = HostWatch(connection, self._command(len(script)), script)

    def start(self, launch: Launch) -> None:
        if launch.run_as is not None:
            raise SupervisorError(str(UserElsewhere(launch.run_as, self.host_name)))
        folder = self._folder(launch.folder)
        directory = self._absolute(launch.working_directory or ".")
        files = self._files(launch, folder, directory)
        named = [word for name, content, how in files for word in (name, str(len(content)), how)]
        given = b"".join(part for _, part, _ in files)
        with self._preparing:
            if not self._installs:
                self._install()
        try:
            said = self._op("start", directory, *named, folder=folder, given=given)
        finally:
            self._watch.forget(folder)
        if said != "held" and self.status(launch.folder).state in (RunState.ABSENT, RunState.PREPARED):
            why = said.removeprefix("starting").strip() or "it said nothing"
            raise SupervisorError(f"the supervisor of {folder} did not start: {why}")

    def status(self, folder: Path) -> RunStatus:
        return self._see(folder, self._fresh_seconds).status

    def read(self, folder: Path, stream: Stream, offset: int, limit: int) -> bytes:
        place = self._folder(folder)
        # A look as old as the status that the caller has seen will do: what was written later is for later.
        seen = self._see(folder, LOOK_SERVES_SECONDS if self._fresh_seconds else 0)
        if seen.sizes is not None and offset >= seen.sizes[stream]:
            return b""
        with self._translated():
            return self._watch.part(f"{place}/{stream}", offset, limit)

    def cancel(self, folder: Path, *, grace_seconds: float) -> None:
        place = self._folder(folder)
        try:
            self._op("cancel", str(round(max(0, grace_seconds) * 100)), folder=place)
        finally:
            self._watch.forget(place)

    def gone(self, folder: Path) -> bool:
        return self._op("gone", folder=self._folder(folder)) == "gone"

    def remove(self, folder: Path) -> None:
        place = self._folder(folder)
        try:
            self._op("remove", folder=place)
        finally:
            self._watch.forget(place)

    def attempts(self) -> list[str]:
        """The names of all folders of attempts on the host, whoever looks after them or does not any more."""
        call = shlex.join(["attempts_in", self._absolute(self._attempts_folder)])
        return self._call(call).splitlines()[1:]

    def environment(self) -> Mapping[str, str]:
        """What a login there has, without what SSH itself sets: a command's surroundings on that host."""
        said = self._run("exec env", b"")
        pairs = (line.partition("=") for line in said.decode(errors="surrogateescape").splitlines())
        return {n: v for n, is_one, v in pairs if is_one and n.isidentifier() and not n.startswith("SSH_")}

    def absolute(self, path: str) -> str:
        """A path of the host's file, as commands there can use it wherever they run."""
        with self._translated():
            return self._absolute(path)

    def close(self) -> None:
        """Lets go of the host; what runs there runs on."""
        self._watch.close()
        self._own_threads.shutdown(wait=False, cancel_futures=True)

    def _see(self, folder: Path, fresh_seconds: float) -> Seen:
        with self._translated():
            return self._watch.see(self._folder(folder), fresh_seconds=fresh_seconds)

    def _files(self, launch: Launch, folder: str, directory: str) -> list[tuple[str, bytes, str]]:
        """All that the supervisor reads, and how it is put there."""
        return [
            ("command", file_bytes(launch.script, what="the command"), "script"),
            ("launch", launch_text(launch, folder=folder, working_directory=directory), "new"),
            ("settings", settings_text(launch), "new"),
            *((name, blanks, "once") for name, blanks in RESERVED.items()),
            ("mark", secrets.token_hex(16).encode() + b"\n", "once"),
        ]

    def _op(self, verb: str, *words: str, folder: str, given: bytes = b"") -> str:
        """One call of a function there; what it says. Puts the supervisor there when it is not."""
        supervisor = f"{self._absolute(self._state_folder)}/{self._supervisor_name()}"
        call = shlex.join([verb, folder, supervisor, *words])
        for _ in range(2):
            installs = self._installs
            said = self._call(call, given)
            if said != "missing":
                return said
            with self._preparing:
                if installs == self._installs:  # else somebody has just done it
                    self._install()
        raise SupervisorError(f"host {self.host_name}: {supervisor} does not stay where it was put")

    def _call(self, call: str, given: bytes = b"") -> str:
        word = secrets.token_hex(8)
        shell = f"shell={shlex.quote(' '.join(self._shell))}"
        script = self._functions + f"{shell}\necho {word}\n{call}\n".encode()
        said = self._run(self._command(len(script)), script + given)
        _, found, answer = said.decode(errors="replace").partition(f"{word}\n")
        if not found or not answer.strip():
            shown = said.decode(errors="replace").strip()[:200] or "it said nothing"
            raise MachineRefused(f"host {self.host_name}: its login did not start a shell of ours: {shown}")
        if answer.startswith("failed "):
            raise SupervisorError(answer.removeprefix("failed ").strip())
        return answer.strip()

    def _install(self) -> None:
        words = [self._state_folder, self._supervisor_name(), str(len(self._supervisor))]
        self._call(shlex.join(["install_in", *words]), self._supervisor)
        self._installs += 1

    def _run(self, command: str, given: bytes) -> bytes:
        """What it says. A supervisor that starts may be the very process that we have asked, and goes on."""
        with self._translated():
            finished = self._connection.run(command, given, timeout_seconds=_OP_SECONDS, to_its_end=False)
        return finished.stdout + finished.stderr

    def _command(self, script_bytes: int) -> str:
        """A shell that reads so much of a script, and leaves the rest of its input to it.

        Byte by byte: a shell that reads its script from its input may take more than the script. No line
        break, so that any login shell understands it.
        """
        path = f'PATH="$PATH:{_TOOLS}"' if self._path is None else f"PATH={shlex.quote(self._path)}"
        read = f'script=$(dd bs=1 count={script_bytes} 2>/dev/null); eval "$script"'
        return f"exec env -i {path} {shlex.join([*self._shell, '-c', read])}"

    def _supervisor_name(self) -> str:
        return f"supervisor-{hashlib.sha256(self._supervisor).hexdigest()[:12]}.sh"

    def _folder(self, folder: Path) -> str:
        return f"{self._absolute(self._attempts_folder)}/{folder.name}"

    def _absolute(self, path: str) -> str:
        """`~` and what is relative begin in the login folder."""
        if path.startswith("/"):
            return path
        with self._preparing:
            if self._login_folder is None:
                self._login_folder = self._call("where_logins_begin").removeprefix("here ")
        inside = path[1:].strip("/") if path == "~" or path.startswith("~/") else path.rstrip("/")
        return self._login_folder if inside in ("", ".") else f"{self._login_folder.rstrip('/')}/{inside}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Unreachable as error:
            raise MachineUnreachable(str(error)) from error
        except SshError as error:
            raise MachineRefused(str(error)) from error

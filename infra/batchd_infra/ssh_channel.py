"""One conversation on an SSH connection; every wait has an end, every foreign error is translated here."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST

from batchd_infra.ssh_errors import CommandEnded, NoSession, SshError, TooSlow, Unreachable

FULL_PAUSE_SECONDS = 0.1
_PIECE_BYTES = 1 << 16
_SIGNAL_OF = "batchd_exit_signal"


class Transport(paramiko.Transport):
    """paramiko's, which forgets the name of the signal that ended a command."""

    def _note_request(self: paramiko.Channel, message: paramiko.Message) -> None:  # type: ignore[misc]
        start = message.packet.tell()
        if message.get_text() == "exit-signal":
            message.get_boolean()
            setattr(self, _SIGNAL_OF, message.get_text())
        message.packet.seek(start)
        self._handle_request(message)  # type: ignore[attr-defined]

    _channel_handler_table = {  # noqa: RUF012
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _note_request,
    }


class SshChannel:
    """`raw` is for non-blocking use; `where` begins every message."""

    def __init__(self, raw: paramiko.Channel, where: str, answer_seconds: float) -> None:
        self.raw = raw
        self.where = where
        self._answer_seconds = answer_seconds
        raw.settimeout(answer_seconds)

    def execute(self, command: str) -> None:
        with self._in_time():
            self.raw.exec_command(command.encode())

    def start_subsystem(self, name: str) -> None:
        with self._in_time():
            self.raw.invoke_subsystem(name)

    def write(self, data: bytes) -> None:
        with self.translated():
            self.raw.sendall(data)

    def read(self, limit_bytes: int, *, timeout_seconds: float | None = None) -> bytes:
        """What has come of stdout; waits for the first byte of it. Raises CommandEnded, Unreachable."""
        seconds = self._answer_seconds if timeout_seconds is None else timeout_seconds
        data = self.read_some(limit_bytes, timeout_seconds=seconds)
        if not data:
            code, signal = self.ended(self._answer_seconds)
            how = f"with exit code {code}" if signal is None else f"by signal {signal}"
            raise CommandEnded(f"{self.where}: what was to stay there ended {how}: {self._last_words()}")
        return data

    def read_some(self, limit_bytes: int, *, timeout_seconds: float) -> bytes:
        """As `read`; nothing at the end, whatever that is."""
        self.raw.settimeout(timeout_seconds)
        with self.translated():
            return self.raw.recv(limit_bytes)

    def end_input(self) -> None:
        with self.translated():
            self.raw.shutdown_write()

    def has_ended(self, within_seconds: float = 2) -> bool:
        """Whether the command, not the connection, has come to its end."""
        return self.raw.status_event.wait(within_seconds) and self.raw.exit_status != -1

    def rest(self, timeout_seconds: float) -> tuple[int | None, bytes, bytes]:
        """Exit code, and what is still to be said on stdout and stderr. Raises Unreachable."""
        said, problem = bytearray(), bytearray()
        while piece := self.read_some(_PIECE_BYTES, timeout_seconds=timeout_seconds):
            said += piece
        with self.translated():
            while piece := self.raw.recv_stderr(_PIECE_BYTES):
                problem += piece
        return self.ended(timeout_seconds)[0], bytes(said), bytes(problem)

    def _last_words(self) -> str:
        said = self.raw.recv_stderr(1000) if self.raw.recv_stderr_ready() else b""
        return said.decode(errors="replace").strip() or "it said nothing"

    def ended(self, timeout_seconds: float) -> tuple[int | None, str | None]:
        """Exit code, or the name of the signal. Raises Unreachable if the connection ended first."""
        if not self.raw.status_event.wait(timeout_seconds):
            raise TooSlow(f"{self.where}: no exit code came in {timeout_seconds:.3g} s")
        code = self.raw.exit_status
        if code != -1:
            return code, None
        signal: str | None = getattr(self.raw, _SIGNAL_OF, None)
        if signal is None:
            raise Unreachable(f"{self.where}: the connection was cut while a command ran")
        return None, signal

    def close(self) -> None:
        try:
            self.raw.close()
        except (OSError, EOFError, paramiko.SSHException):
            return  # it is closed by that, too

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """paramiko waits for these answers without limit."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.close()

        timer = threading.Timer(self._answer_seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            with self.translated():
                yield
        except Unreachable as error:
            if late.is_set():
                raise TooSlow(
                    f"{self.where}: no answer to a request in {self._answer_seconds:g} s"
                ) from error
            raise
        finally:
            timer.cancel()

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise TooSlow(f"{self.where}: silent for {self._answer_seconds:g} s") from error
        except (OSError, EOFError) as error:
            raise Unreachable(f"{self.where}: the connection was cut ({_said(error)})") from error
        except paramiko.SSHException as error:
            alive = self.raw.get_transport().is_active() and not self.raw.closed
            refused = f"{self.where}: the machine refuses the request ({_said(error)})"
            raise (SshError(refused) if alive else Unreachable(refused)) from error


def open_channel(transport: paramiko.Transport, where: str, answer_seconds: float) -> SshChannel:
    """Raises Unreachable, TooSlow."""
    deadline = time.monotonic() + answer_seconds
    while True:
        try:
            return SshChannel(transport.open_session(timeout=answer_seconds), where, answer_seconds)
        except paramiko.ChannelException as error:
            if time.monotonic() > deadline:
                raise NoSession(
                    f"{where}: the machine allows no more sessions on one connection ({error.text}); "
                    "`MaxSessions` of its sshd should be 10, its default"
                ) from error
            time.sleep(FULL_PAUSE_SECONDS)  # it may not have noticed yet that an earlier one is closed
        except (OSError, EOFError, paramiko.SSHException) as error:
            if "Timeout" in str(error):
                raise TooSlow(f"{where}: no session was opened in {answer_seconds:g} s") from error
            raise Unreachable(f"{where}: the connection was cut ({_said(error)})") from error


def _said(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return "timed out"
    return str(getattr(error, "strerror", None) or error) or "it ended"

"""A machine behind SSH: one connection, made when needed and again after a cut, used by many threads."""

import logging
import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import paramiko

from batchd_infra.ssh_channel import SshChannel, open_channel
from batchd_infra.ssh_connecting import SshTarget, connect
from batchd_infra.ssh_errors import HostKeyRefused, NoSession, SshError, TooSlow, Unreachable

__all__ = ["Finished", "SshConnection", "SshTarget"]

log = logging.getLogger("batchd.ssh")

SESSIONS_A_CONNECTION = 8  # sshd allows ten
COMMAND_SECONDS = 60.0
OUTPUT_LIMIT_BYTES = 16 << 20
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a command on the other machine ended. `exit_code` null: by a signal, named as SSH does (`TERM`)."""

    exit_code: int | None
    signal: str | None
    stdout: bytes
    stderr: bytes
    cut: bool = False  # it said more than was asked for; the rest is lost


class SshConnection:
    """Nothing is sent before it is used. All calls block; any thread may make them, at the same time."""

    def __init__(self, target: SshTarget) -> None:
        self.target = target
        self._connecting = threading.Lock()
        self._slots = threading.BoundedSemaphore(SESSIONS_A_CONNECTION)
        self._transport: paramiko.Transport | None = None
        self._failure: tuple[float, SshError] | None = None

    def run(
        self,
        command: str,
        input: bytes = b"",  # noqa: A002  named as in `subprocess.run`
        *,
        timeout_seconds: float = COMMAND_SECONDS,
        output_limit_bytes: int = OUTPUT_LIMIT_BYTES,
        to_its_end: bool = True,
    ) -> Finished:
        """Raises SshError. After Unreachable nobody knows whether it ran; TooSlow does not end it there.

        `to_its_end` false: until it has closed its output, whatever it does then; with no exit code.
        """
        with self.session(command) as channel:
            conversation = _Conversation(channel, input, timeout_seconds, output_limit_bytes)
            conversation.hold()
            return conversation.finish(to_its_end=to_its_end)

    @contextmanager
    def session(self, command: str) -> Iterator[SshChannel]:
        """A command to talk with. Afterwards the conversation is closed, which does not kill it."""
        with self.channel() as channel:
            channel.execute(command)
            yield channel

    @contextmanager
    def channel(self) -> Iterator[SshChannel]:
        """One of the few that a connection may hold, on a connection that is alive; closed afterwards."""
        with self._slots:
            transport, channel = self._opened()
            try:
                with closing(channel):
                    yield channel
            except TooSlow:
                transport.close()  # what else hangs on it would hang too; the next call makes another
                raise

    def _opened(self) -> tuple[paramiko.Transport, SshChannel]:
        """On the connection that is there; on another where it turns out to have been cut meanwhile."""
        known = self._transport
        while True:
            transport = self._alive()
            try:
                return transport, open_channel(transport, self.target.where, self.target.answer_seconds)
            except NoSession:
                raise
            except Unreachable as error:
                transport.close()
                if transport is not known or isinstance(error, TooSlow):
                    raise

    def close(self) -> None:
        """It is made again when it is used again."""
        with self._connecting:
            if self._transport is not None:
                self._transport.close()
                self._transport = None

    def _alive(self) -> paramiko.Transport:
        asked_at = time.monotonic()
        with self._connecting:
            if self._transport is not None and self._transport.is_active():
                return self._transport
            if self._failure is not None and self._failure[0] >= asked_at:
                raise self._failure[1]  # somebody has just tried for us, too
            try:
                self._transport = connect(self.target)
            except SshError as error:
                self._note(error)
                self._failure = (time.monotonic(), error)
                raise
            if self._failure is not None:
                log.info("%s: connected again", self.target.where)
            self._failure = None
            return self._transport

    def _note(self, error: SshError) -> None:
        """Once, not at each of many tries."""
        if self._failure is not None and str(self._failure[1]) == str(error):
            return
        loud = logging.ERROR if isinstance(error, HostKeyRefused) else logging.WARNING
        log.log(loud, "%s", error)


class _Conversation:
    """Gives a command its input while taking its output: neither side waits for the other for ever."""

    def __init__(self, channel: SshChannel, given: bytes, timeout_seconds: float, limit_bytes: int) -> None:
        self._channel = channel
        self._given = memoryview(given)
        self._seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._limit_bytes = limit_bytes
        self._said = {"stdout": bytearray(), "stderr": bytearray()}
        self._cut = False

    def hold(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel.raw.fileno(), selectors.EVENT_READ)
            while not self._step():
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise TooSlow(f"{self._channel.where}: the command did not end in {self._seconds:g} s")
                selector.select(min(left, 0.02 if self._given else 1))

    def finish(self, *, to_its_end: bool) -> Finished:
        left = max(0.1, self._deadline - time.monotonic())
        exit_code, signal = self._channel.ended(left) if to_its_end else (None, None)
        if not to_its_end and not self._channel.raw.eof_received:
            raise Unreachable(f"{self._channel.where}: the connection was cut while a command ran")
        return Finished(
            exit_code=exit_code,
            signal=signal,
            stdout=bytes(self._said["stdout"]),
            stderr=bytes(self._said["stderr"]),
            cut=self._cut,
        )

    def _step(self) -> bool:
        """As much as goes without waiting. True: all is said."""
        raw = self._channel.raw
        ended = bool(raw.closed or raw.eof_received)  # looked at first: what came before it is then all read
        if not ended:
            self._give()
        for ready, receive, said in (
            (raw.recv_ready, raw.recv, self._said["stdout"]),
            (raw.recv_stderr_ready, raw.recv_stderr, self._said["stderr"]),
        ):
            while ready() and (data := receive(_PIECE_BYTES)):
                room = self._limit_bytes - len(said)
                said += data[: max(0, room)]
                self._cut = self._cut or len(data) > room
        return ended

    def _give(self) -> None:
        raw = self._channel.raw
        # A command that does not want all of its input closes it: its business. A cut is seen elsewhere.
        with suppress(OSError, EOFError, paramiko.SSHException):
            while self._given and raw.send_ready():
                sent = raw.send(self._given[:_PIECE_BYTES].tobytes())
                self._given = self._given[sent:]
            if not self._given and not raw.eof_sent:
                raw.shutdown_write()

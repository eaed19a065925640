"""A TCP proxy on loopback that plays a bad network between two real programs.

Set `proxy.mode` at any time; what is connected then feels it at once.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from tests.prefect_server import free_port

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Direction = Literal["up", "down"]  # up: from the client to the server


@dataclass(frozen=True)
class Pass:
    """Everything, as it comes."""


@dataclass(frozen=True)
class Refuse:
    """Nobody listens; what was connected is reset. As with a server that is dead."""


@dataclass(frozen=True)
class Blackhole:
    """Connections are made and nothing moves; it comes when the mode changes, as after lost packets."""


@dataclass(frozen=True)
class Delay:
    """Each piece is late."""

    seconds: float


@dataclass(frozen=True)
class ResetAfterRequest:
    """The server gets a request with these bytes and obeys; in place of its answer comes a reset."""

    matching: bytes = b""
    times: int | None = None  # None: always


@dataclass(frozen=True)
class CutAfter:
    """A connection is reset once so many bytes have passed, counted from when the mode was set."""

    byte_count: int
    direction: Direction = "down"
    times: int | None = None


Mode = Pass | Refuse | Blackhole | Delay | ResetAfterRequest | CutAfter


@dataclass(eq=False)
class _Link:
    """One connection. `passed` and `asked` belong to the mode that was set last."""

    client: socket.socket
    server: socket.socket
    finished: set[Direction] = field(default_factory=set)
    passed: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    asked: bytes = b""

    def end(self, *, reset: bool) -> None:
        if reset:
            with suppress(OSError):
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)  # wakes whoever reads it
            with suppress(OSError):
                end.close()


def bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


class TcpProxy:
    """`cuts`: how many connections the present mode has reset. `connections`: how many were ever made."""

    def __init__(self, port: int, listener: socket.socket | None = None) -> None:
        """`listener`: bound already, perhaps in another network namespace."""
        self._upstream = port
        self.connections = self.cuts = 0
        self._mode: Mode = Pass()
        self._changed = threading.Condition(threading.RLock())
        self._links: set[_Link] = set()
        self._closed = False
        self._listener = listener or bound(free_port())
        self.port = int(self._listener.getsockname()[1])
        self._listener.listen(128)
        self._acceptor = threading.Thread(target=self._accept, name=f"proxy {self.port}", daemon=True)
        self._acceptor.start()

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        with self._changed:
            listened = not isinstance(self._mode, Refuse)
            self._mode, self.cuts = mode, 0
            for link in self._links:
                link.passed, link.asked = {"up": 0, "down": 0}, b""
            if isinstance(mode, Refuse):
                self._stop_listening()
                self.cut_all()
            elif not listened:
                self._listener.listen(128)
            self._changed.notify_all()

    def cut_all(self) -> None:
        """Reset every connection; new ones are as the mode says."""
        with self._changed:
            for link in list(self._links):
                self._drop(link, reset=True)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._stop_listening()
            self.cut_all()
            self._changed.notify_all()
        self._acceptor.join()
        self._listener.close()

    # Connections

    def _stop_listening(self) -> None:
        """The port stays ours, and refuses."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or not isinstance(self._mode, Refuse))
                continue
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream), CONNECT_SECONDS)
        except OSError:  # nobody is there: the client is to see no more than that
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            client.close()
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(client, server)
        with self._changed:
            self.connections += 1
            self._links.add(link)
            if self._closed or isinstance(self._mode, Refuse):
                self._drop(link, reset=True)
                return
        for direction in ("up", "down"):
            threading.Thread(target=self._pump, args=(link, direction), daemon=True).start()

    def _drop(self, link: _Link, *, reset: bool) -> None:
        if link in self._links:
            self._links.discard(link)
            link.end(reset=reset)

    def _pump(self, link: _Link, direction: Direction) -> None:
        source, target = (link.client, link.server) if direction == "up" else (link.server, link.client)
        try:
            while piece := source.recv(CHUNK_BYTES):
                if not self._pass_on(link, direction, piece, target):
                    return
            target.shutdown(socket.SHUT_WR)
        except OSError:
            with self._changed:
                self._drop(link, reset=True)
            return
        with self._changed:
            link.finished.add(direction)
            if len(link.finished) == 2:
                self._drop(link, reset=False)

    # What a mode does to a piece

    def _pass_on(self, link: _Link, direction: Direction, piece: bytes, target: socket.socket) -> bool:
        """False: the connection has been cut."""
        mode = self._wait_through_holes()
        if isinstance(mode, Delay):
            time.sleep(mode.seconds)
        elif isinstance(mode, ResetAfterRequest) and self._is_lost(link, direction, piece, mode):
            return self._cut(link)
        elif isinstance(mode, CutAfter) and mode.direction == direction and self._may_cut(mode.times):
            left = mode.byte_count - link.passed[direction]
            if len(piece) >= left:
                target.sendall(piece[: max(0, left)])
                return self._cut(link)
        link.passed[direction] += len(piece)
        target.sendall(piece)
        return True

    def _wait_through_holes(self) -> Mode:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not isinstance(self._mode, Blackhole))
            return self._mode

    def _may_cut(self, times: int | None) -> bool:
        return times is None or self.cuts < times

    def _is_lost(self, link: _Link, direction: Direction, piece: bytes, mode: ResetAfterRequest) -> bool:
        """Whether this is the answer to a request that matches; requests are read on the way up."""
        if direction == "up":
            link.asked += piece
            return False
        matches = mode.matching in link.asked
        link.asked = b""
        return matches and self._may_cut(mode.times)

    def _cut(self, link: _Link) -> bool:
        with self._changed:
            self.cuts += 1
            self._drop(link, reset=True)
        return False


@contextmanager
def tcp_proxy(port: int) -> Iterator[TcpProxy]:
    """Before whatever listens on that port of 127.0.0.1."""
    proxy = TcpProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()

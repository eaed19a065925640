"""The network that the other tests break is broken as they think."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.tcp_proxy import Blackhole, CutAfter, Delay, Pass, Refuse, ResetAfterRequest, TcpProxy, tcp_proxy


class Parrot:
    """Says back what it hears, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionResetError):
            while heard := connection.recv(65536):
                self.heard.append(heard)
                connection.sendall(heard)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def parrot() -> Iterator[Parrot]:
    parrot = Parrot()
    yield parrot
    parrot.close()


@pytest.fixture
def proxy(parrot: Parrot) -> Iterator[TcpProxy]:
    with tcp_proxy(parrot.port) as proxy:
        yield proxy


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def says(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(65536)


def says_all(connection: socket.socket) -> None:
    while connection.recv(10):
        pass


def test_what_passes_comes_back_and_an_end_is_an_end(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        assert says(connection, b"hello") == b"hello"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b""


def test_a_server_that_refuses_resets_what_was_connected_and_comes_back_on_its_port(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        assert says(connection, b"hello") == b"hello"
        proxy.mode = Refuse()
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.mode = Pass()
    with connect(proxy) as connection:
        assert says(connection, b"again") == b"again"


def test_a_black_hole_swallows_for_as_long_as_it_is_there(proxy: TcpProxy, parrot: Parrot) -> None:
    with connect(proxy) as connection:
        proxy.mode = Blackhole()
        connection.sendall(b"lost?")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        assert parrot.heard == []
        connection.settimeout(5)
        proxy.mode = Pass()
        assert connection.recv(10) == b"lost?"


def test_a_delay_is_a_delay(proxy: TcpProxy) -> None:
    proxy.mode = Delay(0.1)
    with connect(proxy) as connection:
        began = time.monotonic()
        assert says(connection, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.2


def test_a_request_is_heard_and_its_answer_lost_as_often_as_told(proxy: TcpProxy, parrot: Parrot) -> None:
    proxy.mode = ResetAfterRequest(b"create", times=2)
    for _ in range(2):
        with connect(proxy) as connection:
            assert says(connection, b"other") == b"other"
            with pytest.raises(ConnectionResetError):
                says(connection, b"please create")
    with connect(proxy) as connection:
        assert says(connection, b"please create") == b"please create"
    assert parrot.heard.count(b"please create") == 3


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_connection_is_cut_after_so_many_bytes(proxy: TcpProxy, parrot: Parrot, direction: str) -> None:
    proxy.mode = CutAfter(3, "up" if direction == "up" else "down", times=1)
    with connect(proxy) as connection:
        connection.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            says_all(connection)
    assert proxy.cuts == 1
    with connect(proxy) as connection:
        assert says(connection, b"hello") == b"hello"
    assert b"hello" in parrot.heard

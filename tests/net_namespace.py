"""Machines on one machine: network namespaces whose only way out are chosen ports of our own loopback.

A listener is made inside, and what it accepts is carried to the same port outside. Nothing listens on any
address but 127.0.0.1, and nothing of the machine's network is touched.
"""

from __future__ import annotations

import ctypes
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.tcp_proxy import TcpProxy, bound
from tests.waiting import missing, need_programs, need_root

CLONE_NEWNET = 0x40000000


class NetNamespace:
    """`enter` before a command runs it inside."""

    def __init__(self, pid: int) -> None:
        self._file = f"/proc/{pid}/ns/net"

    @property
    def enter(self) -> list[str]:
        return ["nsenter", f"--net={self._file}"]

    def cut(self) -> None:
        """Nothing reaches anybody any more, and nobody is told."""
        self._link("down")

    def mend(self) -> None:
        self._link("up")

    def _link(self, state: str) -> None:
        subprocess.run([*self.enter, "ip", "link", "set", "lo", state], check=True)

    def listener(self, port: int) -> socket.socket:
        """Bound to that port of the loopback inside: a thread goes there to make it."""
        made: list[socket.socket] = []

        def make() -> None:
            with Path(self._file).open("rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(bound(port))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]


@contextmanager
def net_namespace(*ports: int) -> Iterator[NetNamespace]:
    """With these ports of 127.0.0.1 within reach."""
    need_root()
    need_programs("unshare", "nsenter", "ip")
    ready = "ip link set lo up && echo ready && exec sleep infinity"
    keeper = subprocess.Popen(["unshare", "--net", "sh", "-c", ready], stdout=subprocess.PIPE, text=True)
    try:
        assert keeper.stdout is not None
        if keeper.stdout.readline() != "ready\n":
            missing("no network namespaces can be made here")
        namespace = NetNamespace(keeper.pid)
        with ExitStack() as proxies:
            for port in ports:
                proxy = TcpProxy(port, namespace.listener(port))
                proxies.callback(proxy.close)
            yield namespace
    finally:
        keeper.kill()
        keeper.wait()
        if keeper.stdout is not None:
            keeper.stdout.close()

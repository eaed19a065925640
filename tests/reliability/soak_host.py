"""The host of a soak: a real `sshd`, and the network before it. Both may fail."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from batchd_api.db.tables import installation
from tests.acceptance.harness import until
from tests.machine_park import SshdMachine, machine_park
from tests.reliability.harness import Grounds
from tests.reliability.invariants import left
from tests.tcp_proxy import TcpProxy, tcp_proxy

NAME = "box"
SWEPT_SECONDS = 180.0  # a look a minute: one ends what runs, the next one removes it


class SoakHost:
    """Known to the installation by its file."""

    def __init__(self, here: Grounds, machine: SshdMachine, network: TcpProxy) -> None:
        self._here, self._machine, self._network = here, machine, network
        (here.folder / "hosts").mkdir()
        (here.folder / "hosts" / f"{NAME}.yaml").write_text(
            f"host_name: 127.0.0.1\nport: {network.port}\nuser_name: {getpass.getuser()}\n"
            f"private_key: {machine.key}\nstartup_time: 0\n"
        )
        (here.state / "known_hosts").write_text(machine.known_line(network.port))

    def cut(self) -> None:
        """All its connections, in the middle of whatever is said."""
        self._network.cut_all()

    def kill_sshd(self) -> None:
        """With all that speak for it. Commands go on."""
        self._machine.shut_down()
        self._machine.boot()

    def assert_nothing_left(self) -> None:
        until(SWEPT_SECONDS, f"the host to be empty: {self._left()}", lambda: not self._left())

    def _left(self) -> list[str]:
        """Processes and folders of attempts."""
        (ours,) = self._here.rows(select(installation.c.id))
        folders = self._machine.home.glob(f".batchd/attempts-{ours.id[:8]}/*")
        return [*left(self._machine.home).values(), *map(str, folders)]


@contextmanager
def soak_host(folder: Path, here: Grounds) -> Iterator[SoakHost]:
    with machine_park(folder, NAME) as machines:
        machines[NAME].boot()
        with tcp_proxy(machines[NAME].port) as network:
            yield SoakHost(here, machines[NAME], network)

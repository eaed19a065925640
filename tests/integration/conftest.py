"""A running facade for the tests that speak HTTP to it; a real `sshd`, copies to it, and jobs on it."""

import uuid

import pytest

from batchd_infra.file_transfer import FileTransfer
from batchd_infra.ssh import SshConnection
from tests.facade import running
from tests.ground import installation
from tests.jobs_on_hosts import daemons_on
from tests.machine_park import machine_park
from tests.sshd import running_sshd
from tests.tcp_proxy import Pass, tcp_proxy

ORIGINS = ("https://web.example/", "https://other.example")


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def facade(request, tmp_path_factory):
    """On PostgreSQL too, in the slow tier."""
    url = f"sqlite:///{tmp_path_factory.mktemp('facade') / 'batchd.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    with installation(url) as here, running(here, allowed_origins=ORIGINS) as facade:
        facade.users.create("root", "secret", superuser=True)
        facade.users.create("nobody", "secret")
        yield facade


@pytest.fixture
def here(facade):
    return facade.here


@pytest.fixture
def root(facade):
    with facade.client() as client:
        yield client


@pytest.fixture
def anonymous(facade):
    with facade.client(None) as client:
        yield client


@pytest.fixture
def queue(root):
    """A queue of the test's own."""
    name = f"queue {uuid.uuid4().hex}"
    assert root.post("/queue", json={"name": name}).json() == name
    return name


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    with running_sshd(tmp_path_factory.mktemp("ssh") / "sshd") as server:
        yield server


@pytest.fixture(scope="module")
def transfer(sshd):
    connection = SshConnection(sshd.target())
    yield FileTransfer(connection)
    connection.close()


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with machine_park(tmp_path_factory.mktemp("park"), "box") as machines:
        machines["box"].boot()
        yield machines["box"]


@pytest.fixture
def proxy(box):
    with tcp_proxy(box.port) as proxy:
        yield proxy
        proxy.mode = Pass()


@pytest.fixture
async def build(request, prefect_server, tmp_path, box, proxy):
    """Daemons whose jobs run on the box, behind the proxy, with the module's `TYPES`."""
    async with daemons_on(box, proxy, prefect_server, tmp_path, request.module.TYPES) as make:
        yield make

"""A job with files on a container that is started for it and stopped after it: the product as processes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.harness import Installation, installation, running, until
from tests.container_engine import ContainerEngine, SshdContainer, running_engine
from tests.sshd import new_key
from tests.waiting import need_root

pytestmark = pytest.mark.slow

SECONDS = 90
SHOUT = """
name: shout
template: tr a-z A-Z <"$source" >"$target"
params:
  - {name: source, type: InputFile}
  - {name: target, type: OutputFile}
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerEngine]:
    need_root()
    with running_engine(tmp_path_factory.mktemp("engine") / "engine") as engine:
        yield engine


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("hosts") / "here") as here:
        yield here


@pytest.fixture(scope="module")
def box(engine: ContainerEngine, here: Installation) -> SshdContainer:
    """Its host and its controller, as their files say; the key of the machine is known."""
    key = new_key(here.folder / "key")
    box = engine.add_sshd("box", key.with_suffix(".pub").read_text())
    (here.folder / "controllers").mkdir()
    (here.folder / "hosts").mkdir()
    (here.folder / "controllers" / "docker.yaml").write_text(
        f"driver: docker\nunix_socket: {engine.unix_socket}\n"
    )
    (here.folder / "hosts" / "box.yaml").write_text(
        f"host_name: 127.0.0.1\nport: {box.port}\nuser_name: root\nprivate_key: {key}\ncontroller: docker\n"
        "startup_time: 0\nshutdown_timeout: 2\nworking_directory: /tmp\n"
        "input_directory: /tmp/in\noutput_directory: /tmp/out\n"
    )
    here.job_type(SHOUT)
    (here.state / "known_hosts").write_text(f"[127.0.0.1]:{box.port} {box.host_key}\n")
    return box


def test_a_job_with_files_on_a_container_that_comes_and_goes(
    here: Installation, engine: ContainerEngine, box: SshdContainer
) -> None:
    source, target = here.folder / "quiet", here.folder / "loud"
    source.write_text("hello there\n")
    assert engine.status("box") != "running"
    with running(here):
        tested = here.run("batch", "host", "test", "box")
        assert (tested.returncode, "start it first" in tested.stdout) == (1, True), tested
        order = ("-t", "shout", "-h", "box", "-p", f"source={source}", "-p", f"target={target}")
        number = here.enqueue(*order)
        job = here.ended(number, SECONDS)
        assert (job.status, job.reason) == ("Done", None), here.said()
        assert target.read_text() == "HELLO THERE\n"
        assert state_of_box(here)["state"] in ("ready", "stopping", "off")
        until(SECONDS, "the container to be stopped", lambda: engine.status("box") != "running")
        until(SECONDS, "the ledger to say so", lambda: state_of_box(here)["state"] == "off")
        assert here.batch("host") == "box\n"


def state_of_box(here: Installation) -> dict[str, object]:
    (host,) = json.loads(here.batch("host", "--json"))
    return dict(host)

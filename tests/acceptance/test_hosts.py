"""Jobs with files on a host of each controller, started for them and stopped after them, by real processes.

FAULTS.md: D9 and I6, with a daemon that is killed.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Daemon, Installation, installation, running, until
from tests.acceptance.host_stages import NAMES, Stage, stages
from tests.sshd import new_key

pytestmark = pytest.mark.slow

SECONDS = 120
SHOUT = """
name: shout
template: tr a-z A-Z <"$source" >"$target"; echo "on $BATCHD_QUEUE"
params:
  - {name: source, type: InputFile}
  - {name: target, type: OutputFile}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("hosts") / "here") as here:
        here.job_type(SHOUT)
        yield here


@pytest.fixture(scope="module")
def staged(here: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    with stages(tmp_path_factory.mktemp("stages"), *NAMES) as staged:
        for stage in staged.values():
            stage.write(here)
        yield staged


@pytest.fixture(scope="module")
def daemon(here: Installation, staged: dict[str, Stage]) -> Iterator[Daemon]:
    with running(here, "both") as daemon:
        yield daemon


@pytest.mark.parametrize("name", NAMES)
def test_a_job_with_files_on_a_host_that_comes_and_goes(
    here: Installation, staged: dict[str, Stage], daemon: Daemon, name: str
) -> None:
    stage = staged[name]
    comes_and_goes = bool(stage.controller)
    assert stage.is_on() is not comes_and_goes
    tested = here.run("batch", "host", "test", name)
    if comes_and_goes:
        assert (tested.returncode, "start it first" in tested.stdout) == (1, True), tested
    else:
        assert tested.returncode == 0, tested
    shout(here, name)
    if comes_and_goes:
        until(SECONDS, "the machine to be off, as its API says", lambda: not stage.is_on())
        until(SECONDS, "the ledger to say so", lambda: host(here, name)["state"] == "off")
    else:
        until(SECONDS, "nobody to use it", lambda: host(here, name)["state"] == "on")
        assert stage.is_on()
    assert not host(here, name)["started_by_us"]


def test_a_machine_that_is_made_again_may_have_another_host_key(
    here: Installation, staged: dict[str, Stage], daemon: Daemon
) -> None:
    """At the same address; the key of the one that is gone is forgotten with it."""
    stage = staged["made"]
    assert stage.machine is not None
    for _ in range(2):
        until(SECONDS, "the old one to be gone", lambda: host(here, "made")["state"] == "off")
        assert f"]:{stage.port} " not in (here.state / "known_hosts").read_text()
        for file in (stage.machine.host_key, stage.machine.host_key.with_suffix(".pub")):
            file.unlink()
        new_key(stage.machine.host_key)
        shout(here, "made")


def test_where_the_controller_tells_the_host_key_no_other_is_believed_or_written_down(
    here: Installation, staged: dict[str, Stage], daemon: Daemon
) -> None:
    shout(here, "docker")
    assert f"]:{staged['docker'].port} " not in (here.state / "known_hosts").read_text()


def test_each_controller_is_a_block_in_prefect_as_its_file_says(
    here: Installation, staged: dict[str, Stage], daemon: Daemon
) -> None:
    def names() -> set[str]:
        found = here.prefect("/block_documents/filter", {})
        return {str(one["data"].get("controller_name")) for one in found}

    wanted = {f"{name}-controller" for name, stage in staged.items() if stage.controller}
    until(SECONDS, "the blocks", lambda: wanted <= names())


def test_the_names_of_the_hosts_are_listed(here: Installation, daemon: Daemon) -> None:
    assert here.batch("host").split() == sorted(NAMES)


def test_d9_i6_what_a_killed_daemon_has_started_is_stopped_in_time_with_its_file_or_without(
    tmp_path: Path,
) -> None:
    with (
        stages(tmp_path, "linode", "libvirt") as staged,
        installation(tmp_path / "here") as here,
    ):
        staged["linode"].write(here, "2 s")
        staged["libvirt"].write(here, "1 h")
        gate = tmp_path / "gate"
        daemon = Daemon(here, "both").ready()
        job = here.enqueue("-h", "linode", f"while [ ! -e {gate} ]; do sleep 0.1; done; echo over")
        here.batch("host", "start", "libvirt")
        until(SECONDS, "both to be in use", lambda: states(here) == {"libvirt": "ready", "linode": "ready"})
        until(SECONDS, "the job to run", lambda: host(here, "linode")["jobs"] == 1)
        daemon.stop(signal.SIGKILL)
        (here.folder / "hosts" / "libvirt.yaml").unlink()
        assert [stage.is_on() for stage in staged.values()] == [True, True]
        with running(here, "both"):
            until(SECONDS, "the one without a file to be off", lambda: not staged["libvirt"].is_on())
            assert staged["linode"].is_on()
            gate.touch()
            assert here.ended(job, SECONDS).status == "Done", here.said()
            assert here.batch("logs", str(job), "--stream", "stdout") == "over\n"
            until(SECONDS, "the other one to be off", lambda: not staged["linode"].is_on())
            until(SECONDS, "the ledger to say so", lambda: states(here) == {"linode": "off"})


def shout(here: Installation, name: str) -> None:
    """A file goes there, and another one comes back."""
    source, target = here.folder / f"quiet-{name}", here.folder / f"loud-{name}"
    source.write_text(f"hello {name}\n")
    target.unlink(missing_ok=True)
    order = ("-t", "shout", "-h", name, "-p", f"source={source}", "-p", f"target={target}")
    job = here.ended(here.enqueue(*order), SECONDS)
    assert (job.status, job.reason) == ("Done", None), here.said()
    assert target.read_text() == f"HELLO {name.upper()}\n"


def host(here: Installation, name: str) -> dict[str, object]:
    return dict(json.loads(here.batch("host", "--json", name)))


def states(here: Installation) -> dict[str, object]:
    return {one["name"]: one["state"] for one in json.loads(here.batch("host", "--json"))}

"""Job types with a host in flows: a real `sshd` on a machine that comes and goes, and no database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchd_flows.flow_command import CommandFailed, CommandResult, FlowSettings
from batchd_flows.flow_host import FlowHosts, HostNotUsable, run_on_host
from batchd_flows.job_types import JobType
from batchd_flows.parameters import Parameter, ParameterType
from batchd_infra.controllers import Controllers
from batchd_infra.host_start import StartPace
from batchd_infra.hosts import Host, HostNotFound, Hosts
from tests.machine_park import ParkController, SshdMachine, machine_park
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

SOURCE = Parameter(name="source", type=ParameterType.INPUT_FILE)
TARGET = Parameter(name="target", type=ParameterType.OUTPUT_FILE)
PACE = StartPace(tries=2, try_pause_seconds=0.1, look_seconds=0.1, ready_limit_seconds=10)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[SshdMachine]:
    with machine_park(tmp_path / "park", "box") as machines:
        yield machines["box"]


class FlowSide:
    """What a flow has at hand."""

    def __init__(self, box: SshdMachine, folder: Path) -> None:
        self.box, self.folder = box, folder
        self.park = ParkController({"box": box})
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(box.known_line())
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.said: list[tuple[int, str]] = []
        self.host = box.host("box", controller="park", input_directory="in", output_directory="out")

    def type(self, script: str, *params: Parameter, **fields: Any) -> JobType:
        return JobType(**{"name": "t", "template": (script,), "params": params, "host_name": "box"} | fields)

    def run(
        self, job_type: JobType, run: str = "run.1", host: Host | None = None, **given: object
    ) -> CommandResult:
        known = FlowHosts(
            hosts=Hosts([host or self.host]),
            controllers=Controllers([self.park]),
            known_hosts_file=self.known_hosts,
            pace=PACE,
        )
        settings = FlowSettings(variables={"greeting": "hello"}, environment={"ONLY_HERE": "1"})
        return run_on_host(
            job_type, given, self.runs / run, settings, known, lambda *said: self.said.append(said)
        )

    @property
    def log(self) -> str:
        return "\n".join(text for _, text in self.said)


@pytest.fixture
def here(box: SshdMachine, tmp_path: Path) -> FlowSide:
    return FlowSide(box, tmp_path)


def test_a_flow_starts_its_host_copies_files_and_stops_it(here: FlowSide) -> None:
    source, target = here.folder / "source", here.folder / "target"
    source.write_text("scene")
    script = 'echo "$greeting $source"; echo bad >&2; env; tr a-z A-Z <"$source" >"$target"'
    done = here.run(here.type(script, SOURCE, TARGET), source=str(source), target=str(target))
    assert (done.exit_code, done.stderr) == (0, "bad\n")
    assert target.read_text() == "SCENE"
    first, *environment = done.stdout.splitlines()
    assert first == f"hello {here.box.home}/in/batchd-flow-run.1/in/source"
    assert f"HOME={here.box.home}" in environment
    assert "ONLY_HERE" not in done.stdout
    assert here.park.events == [("boot", "box"), ("stop", "box")]
    assert (logging.WARNING, "bad") in here.said
    assert "batchd: copied target from box" in here.log
    left = {path.name for name in ("in", "out") for path in (here.box.home / name).iterdir()}
    assert left == set()
    assert not list((here.box.home / ".batchd" / "attempts-of-flows").iterdir())
    assert sorted(path.name for path in here.runs.iterdir()) == ["host-box.lock"]


def test_a_machine_that_was_on_before_is_left_on(here: FlowSide) -> None:
    here.park.turn_on("box")
    assert here.run(here.type("true")).exit_code == 0
    assert here.park.events == []


def test_what_a_flow_that_crashed_has_started_is_stopped_by_the_next_one(here: FlowSide) -> None:
    here.park.turn_on("box")
    (here.runs / "host-box.started").touch()
    assert here.run(here.type("true")).exit_code == 0
    assert here.park.events == [("stop", "box")]
    assert not (here.runs / "host-box.started").exists()


def test_the_last_of_two_flows_stops_the_host(here: FlowSide) -> None:
    go = here.folder / "go"
    waits = here.type(f"echo begun; while [ ! -e {go} ]; do sleep 0.05; done")
    first = threading.Thread(target=here.run, args=(waits, "first.1"))
    first.start()
    try:
        wait_until(lambda: "begun" in here.log, 60, "the first flow's command")
        assert here.run(here.type("echo second"), "second.1").stdout == "second\n"
        assert here.park.events == [("boot", "box")]
    finally:
        go.touch()
        first.join(60)
    assert here.park.events == [("boot", "box"), ("stop", "box")]


def test_a_command_that_fails_there_raises_with_what_is_known_and_brings_nothing(here: FlowSide) -> None:
    target = here.folder / "target"
    with pytest.raises(CommandFailed, match="job type 't' failed: exit code 7") as raised:
        here.run(here.type('echo half >"$target"; echo why >&2; exit 7', TARGET), target=str(target))
    assert (raised.value.result.exit_code, raised.value.result.stderr) == (7, "why\n")
    assert not target.exists()
    assert here.park.events == [("boot", "box"), ("stop", "box")]


def test_an_output_that_is_not_there_fails_by_its_name_and_keeps_the_exit_code(here: FlowSide) -> None:
    with pytest.raises(CommandFailed, match=r"output transfer: .*/out/target is not there") as raised:
        here.run(here.type("true", TARGET), target=str(here.folder / "target"))
    assert raised.value.result.exit_code == 0


def test_an_input_that_is_not_there_fails_by_its_name_and_nothing_runs(here: FlowSide) -> None:
    with pytest.raises(CommandFailed, match=r"input transfer: .*/source: No such file"):
        here.run(here.type("touch ran", SOURCE), source=str(here.folder / "source"))
    assert not (here.box.home / "ran").exists()


def test_start_up_commands_run_and_one_that_fails_is_said_with_its_output(here: FlowSide) -> None:
    host = replace(here.host, startup_commands_on_host=("echo $name >ready",))
    assert here.run(here.type("cat ready"), host=host).stdout == "box\n"
    host = replace(here.host, startup_commands_on_host=("echo no licence; exit 3",))
    with pytest.raises(HostNotUsable, match="exit code 3") as raised:
        here.run(here.type("true"), "run.2", host=host)
    assert raised.value.output == "no licence\n"
    assert here.park.events[-1] == ("stop", "box")


def test_d1_an_unknown_host_key_is_refused_and_nothing_is_sent(here: FlowSide) -> None:
    here.known_hosts.write_text("")
    with pytest.raises(HostNotUsable, match="host key unknown"):
        here.run(here.type("true"))
    assert "Accepted" not in (here.box.folder / "log").read_text()


def test_a_host_that_no_file_defines_is_said(here: FlowSide) -> None:
    with pytest.raises(HostNotFound, match="'farm'"):
        here.run(here.type("true", host_name="farm"))


def test_a_host_that_does_not_start_is_said(here: FlowSide) -> None:
    here.park.refuse("boot", "no room", "no room")
    with pytest.raises(HostNotUsable, match="no room"):
        here.run(here.type("true"))


def test_limits_and_folders_of_the_host_count_where_the_type_says_nothing(here: FlowSide) -> None:
    work = here.box.home / "work"
    work.mkdir()
    host = replace(here.host, working_directory="work", timeout_seconds=0.5, environment={"OF": "host"})
    with pytest.raises(CommandFailed, match="timeout") as raised:
        here.run(here.type("pwd; echo $OF; sleep 60"), host=host)
    assert raised.value.result.stdout == f"{work}\nhost\n"

from pathlib import Path

import pytest

from batchd_infra.controller import MachineState, StartStopDisabled
from batchd_infra.controllers import ControllerNotFound, Controllers, check_hosts, load_controllers
from batchd_infra.hosts import Host, load_hosts


def write(tmp_path: Path, kind: str, **files: str) -> None:
    (tmp_path / kind).mkdir()
    for name, text in files.items():
        (tmp_path / kind / f"{name}.yaml").write_text(text)


def load(tmp_path: Path, **files: str) -> tuple[Controllers, list[str]]:
    write(tmp_path, "controllers", **files)
    controllers, problems = load_controllers([tmp_path])
    return controllers, [str(p).removeprefix(f"{tmp_path}/controllers/") for p in problems]


def test_local_is_built_in_and_starts_nothing(tmp_path: Path) -> None:
    controllers, problems = load(tmp_path)
    local = controllers.of(Host(name="desk", host_name="desk", controller_id="desk"))
    assert (problems, local.name, local.can_start_stop) == ([], "local", False)
    desk = Host(name="desk", host_name="desk", controller_id="desk")
    assert (local.status(desk), local.address(desk)) == (MachineState.RUNNING, None)
    for action in (local.start, local.stop):
        with pytest.raises(StartStopDisabled, match="Host desk: controller local starts and stops nothing"):
            action(desk)


def test_a_controller_loads_and_may_be_told_to_start_nothing(tmp_path: Path) -> None:
    controllers, problems = load(tmp_path, dry="name: dry\ndriver: Fake\nenable_start_stop: no\n")
    assert (problems, controllers.get("dry").can_start_stop) == ([], False)


def test_a_bad_file_says_file_line_and_key_and_the_others_load(tmp_path: Path) -> None:
    controllers, problems = load(
        tmp_path,
        a="name: a\ndriver: vmware\n",
        b="name: b\n",
        c="name: c\ndriver: fake\nenable_strat_stop: false\n",
        d="name: [\n",
        local="name: local\ndriver: fake\n",
    )
    assert [c.name for c in controllers] == ["c", "local"]
    assert not controllers.get("local").can_start_stop
    assert problems[0].startswith("a.yaml:2: driver: must be one of ")
    assert problems[1].startswith("b.yaml:1: driver: is missing")
    assert problems[2] == (
        "c.yaml:3: enable_strat_stop: unknown key, it has no effect; did you mean 'enable_start_stop'?"
    )
    assert problems[3].startswith("d.yaml:")
    assert problems[4].startswith("local.yaml:1: name: 'local' is built in")


def test_an_unknown_controller_names_the_nearest(tmp_path: Path) -> None:
    controllers, _ = load(tmp_path, dry="name: dry\ndriver: fake\n")
    with pytest.raises(ControllerNotFound, match="no controller 'dyr'; the nearest is 'dry'"):
        controllers.get("dyr")


def test_a_host_of_no_controller_and_settings_that_nobody_reads_are_found(tmp_path: Path) -> None:
    controllers, _ = load(tmp_path, dry="name: dry\ndriver: fake\n")
    write(tmp_path, "hosts", a="name: a\ncontroller: dyr\n", b="name: b\ncontroller: dry\ndry:\n  size: 5\n")
    hosts, _ = load_hosts([tmp_path])
    problems = [str(p).removeprefix(f"{tmp_path}/hosts/") for p in check_hosts(hosts, controllers)]
    assert problems == [
        "a.yaml:2: controller: there is no controller 'dyr'; the nearest is 'dry'",
        "b.yaml:4: dry.size: unknown key, it has no effect",
    ]

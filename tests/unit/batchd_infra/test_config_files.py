import os
from pathlib import Path

import pytest

from batchd_infra.config_files import (
    ConfigError,
    ConfigWarning,
    Fields,
    config_folders,
    load_records,
    read_config,
    record_files,
    record_name,
)


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read_named(fields: Fields) -> Named:
    return Named(record_name(fields))


HOME = {"HOME": "/home/ann"}
USER, SYSTEM = Path("/home/ann/.config/batchd"), Path("/etc/batchd")


@pytest.mark.parametrize(
    ("config_path", "environ", "expected"),
    [
        (None, HOME, (USER, SYSTEM)),
        (Path("/srv/b/batchd.yaml"), HOME, (Path("/srv/b"), USER, SYSTEM)),
        (None, HOME | {"BATCHD_CONFIG": "/opt/x.yaml"}, (Path("/opt"), USER, SYSTEM)),
        (Path("/srv/b/batchd.yaml"), HOME | {"BATCHD_CONFIG": "/opt/x.yaml"}, (Path("/srv/b"), USER, SYSTEM)),
        (USER / "batchd.yaml", HOME, (USER, SYSTEM)),
        (None, HOME | {"BATCHD_CONFIG": ""}, (USER, SYSTEM)),
    ],
)
def test_files_are_looked_for_in_this_order(
    config_path: Path | None, environ: dict[str, str], expected: tuple[Path, ...]
) -> None:
    assert config_folders(config_path, environ) == expected


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batchd\.yaml:1: there is no such file"):
        read_config(tmp_path / "batchd.yaml")


def test_a_fifo_or_folder_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="not a regular file"):
        read_config(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_config(tmp_path)


def test_a_file_hides_its_namesake_in_a_later_folder(tmp_path: Path) -> None:
    first = write(tmp_path / "a/hosts/x.yaml", "name: x")
    write(tmp_path / "b/hosts/x.yaml", "name: x")
    other = write(tmp_path / "b/hosts/y.yaml", "name: y")
    write(tmp_path / "b/hosts/.#y.yaml", "name: editor")
    write(tmp_path / "b/hosts/y.yaml~", "name: backup")
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "missing"]
    assert record_files(folders, "hosts") == ([first, other], [])


def test_f11_a_bad_file_is_a_problem_and_the_others_load(tmp_path: Path) -> None:
    write(tmp_path / "hosts/a.yaml", "name: a")
    bad = write(tmp_path / "hosts/b.yaml", "name: b\nname: b\n")
    write(tmp_path / "hosts/c.yaml", "name: c")
    loaded = load_records([tmp_path], "hosts", read_named)
    assert [r.name for r in loaded.records] == ["a", "c"]
    assert [str(p) for p in loaded.problems] == [f"{bad}:2: name: the key stands twice, first on line 1"]


def test_the_name_key_counts_and_the_file_name_finds_it_too(tmp_path: Path) -> None:
    write(tmp_path / "hosts/file.yaml", "name: Вася Пупкин")
    loaded = load_records([tmp_path], "hosts", read_named)
    assert loaded.records[0].name == "Вася Пупкин"
    assert loaded.aliases == {"file": "Вася Пупкин"}
    assert [type(p) for p in loaded.problems] == [ConfigWarning]


def test_a_missing_name_is_the_file_name_with_a_warning(tmp_path: Path) -> None:
    write(tmp_path / "hosts/x.yaml", "port: 1")
    loaded = load_records([tmp_path], "hosts", read_named)
    assert [r.name for r in loaded.records] == ["x"]
    assert "'x' counts" in str(loaded.problems[0])


def test_an_odd_name_of_an_old_installation_works_with_a_warning(tmp_path: Path) -> None:
    write(tmp_path / "hosts/my host.yaml", "name: my host")
    loaded = load_records([tmp_path], "hosts", read_named)
    assert [r.name for r in loaded.records] == ["my host"]
    assert isinstance(loaded.problems[0], ConfigWarning)


def test_a_name_with_control_characters_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "hosts/x.yaml", 'name: "a\\nb"')
    assert isinstance(load_records([tmp_path], "hosts", read_named).problems[0], ConfigError)


def test_the_first_of_two_files_with_one_name_counts(tmp_path: Path) -> None:
    write(tmp_path / "hosts/a.yaml", "name: a")
    write(tmp_path / "hosts/b.yaml", "name: a")
    loaded = load_records([tmp_path], "hosts", read_named)
    assert len(loaded.records) == 1
    assert any("is defined by" in str(p) for p in loaded.problems)

"""Where files of jobs may lie. FAULTS.md: G8."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchd_infra.file_roots import FileForbidden, FileRoots


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("data", "ours", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path / "data"


def test_g8_what_lies_outside_of_the_roots_is_refused_however_it_is_written(data):
    roots = FileRoots(roots=(data,))
    assert roots.require(data / "file") == data / "file"
    assert roots.require(data / "new" / "not there yet") == data / "new" / "not there yet"
    (data / "link").symlink_to(data.parent / "elsewhere")
    (data / "round").symlink_to("round")
    refused = [data.parent / "elsewhere" / "file", data / ".." / "elsewhere", data / "link" / "file"]
    refused += [data / "link" / "new", data.with_name("data2"), Path("/proc/self/root/etc/passwd")]
    for path in refused:
        with pytest.raises(FileForbidden, match="file_roots"):
            roots.require(path)
    with pytest.raises(FileForbidden):
        FileRoots(roots=()).require(data / "file")


def test_g8_a_root_that_is_a_link_means_where_it_leads(data):
    link = data.parent / "link"
    link.symlink_to(data)
    roots = FileRoots(roots=(link,))
    assert roots.require(link / "file") == roots.require(data / "file")


def test_a_folder_around_our_own_is_one_to_work_in_and_nothing_else(data):
    roots = FileRoots(own=(data.parent / "ours",))
    roots.require_working_directory(data.parent)
    for ours in (data.parent / "ours", data.parent / "ours" / "below"):
        with pytest.raises(FileForbidden, match="belongs to batchd"):
            roots.require_working_directory(ours)
    with pytest.raises(FileForbidden, match="file_roots"):
        FileRoots(roots=(data,)).require_working_directory(data.parent)


def test_g8_without_roots_only_our_own_is_refused_and_folders_that_hold_it(data):
    roots = FileRoots(own=(data.parent / "ours",))
    roots.require(data / "file")
    (data / "link").symlink_to(data.parent / "ours" / "file")
    for path in (data.parent / "ours", data.parent / "ours" / "file", data / "link", data.parent, Path("/")):
        with pytest.raises(FileForbidden, match="batchd"):
            roots.require(path)


def test_a_root_that_was_written_down_inside_of_our_own_opens_what_lies_there(data):
    ours = data.parent / "ours"
    (ours / "shared").mkdir()
    roots = FileRoots(roots=(ours / "shared",), own=(ours,))
    roots.require(ours / "shared" / "file")
    with pytest.raises(FileForbidden):
        roots.require(ours / "file")


def test_what_is_no_path_is_refused_in_a_sentence(data):
    for text in ("a\0b", "x" * 300 + "/" + "y" * 5000):
        roots = FileRoots(roots=(data,))
        with pytest.raises(FileForbidden) as refused:
            roots.require(Path(text))
        assert len(str(refused.value)) < 1000


def test_g8_a_link_that_is_swapped_after_the_check_opens_nothing(data, monkeypatch):
    roots = FileRoots(roots=(data,))
    assert roots.opened(data / "file").read() == b"data"
    (data / "link").symlink_to(data / "file")

    def swapped(self: FileRoots, path: Path) -> Path:
        path.unlink()
        path.symlink_to(data.parent / "elsewhere" / "file")
        return path

    monkeypatch.setattr(FileRoots, "require", swapped)
    with pytest.raises(FileForbidden):
        roots.opened(data / "link")


def test_only_a_regular_file_is_opened_and_a_fifo_is_not_waited_for(data):
    os.mkfifo(data / "fifo")
    with pytest.raises(FileForbidden, match="regular"):
        FileRoots(roots=(data,)).opened(data / "fifo")


def test_g8_an_output_file_replaces_a_link_and_never_what_it_leads_to(data, monkeypatch):
    roots, target = FileRoots(roots=(data,)), data.parent / "elsewhere" / "file"
    (data / "out").symlink_to(target)
    with pytest.raises(FileForbidden), roots.replacing(data / "out"):
        pass
    monkeypatch.setattr(FileRoots, "require", lambda _self, path: path)  # the link came after the check
    with roots.replacing(data / "out") as file:
        file.write(b"new")
        assert (data / "out").is_symlink()  # nothing is there before all of it is
    assert target.read_text() == "elsewhere"
    assert ((data / "out").read_text(), (data / "out").is_symlink()) == ("new", False)
    (data / "folder").symlink_to(data.parent / "elsewhere")
    with pytest.raises(FileForbidden), roots.replacing(data / "folder" / "file"):
        pass
    assert target.read_text() == "elsewhere"


def test_an_output_that_comes_to_nothing_leaves_what_was_there(data):
    def stumbles() -> None:
        with FileRoots().replacing(data / "file") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumbles()
    assert (data / "file").read_text() == "data"
    assert [path.name for path in data.iterdir()] == ["file"]

"""A job's files to a real `sshd` and back, as its dispatcher copies them. FAULTS.md: G8."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from batchd_flows import file_copies
from batchd_flows.file_copies import CopyFailed, FileCopies
from batchd_flows.job_files import FileCopy, JobFiles
from batchd_infra import file_transfer
from batchd_infra.file_roots import FileRoots
from batchd_infra.file_transfer import FileTransfer

MIB = 1 << 20


class Copying:
    """`allowed` is all that jobs may use; `there` is the other machine's disk; `secret` lies elsewhere."""

    def __init__(self, transfer: FileTransfer, folder: Path) -> None:
        self.allowed, self.there, self.elsewhere = (folder / n for n in ("allowed", "there", "elsewhere"))
        for one in (self.allowed, self.there, self.elsewhere):
            one.mkdir()
        self.secret = self.elsewhere / "file"
        self.secret.write_text("secret")
        self.said: list[str] = []
        self.copies = FileCopies(
            transfer=transfer,
            host_name="box",
            roots=FileRoots(roots=(self.allowed,)),
            staging=folder / "staging",
            say=self.said.append,
            retry_seconds=(),
        )

    def send(self, name: str) -> None:
        self.copies.send(self._files(inputs=(self._copy(name),)))

    def fetch(self, name: str) -> None:
        self.copies.fetch(self._files(outputs=(self._copy(name),)))

    def _copy(self, name: str) -> FileCopy:
        return FileCopy(parameter="p", local=self.allowed / name, remote=f"{self.there}/{Path(name).name}")

    def _files(self, **copies: tuple[FileCopy, ...]) -> JobFiles:
        return JobFiles(values={}, folders=(str(self.there),), **copies)


@pytest.fixture
def here(transfer: FileTransfer, tmp_path: Path) -> Copying:
    return Copying(transfer, tmp_path)


def after(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, swap: Callable[[], None], *, nth: int = 1
) -> None:
    """Somebody swaps a file right after this step was done for the nth time."""
    step = getattr(owner, name)
    calls = itertools.count(1)

    def done(*given: object) -> object:
        answer = step(*given)
        if next(calls) == nth:
            swap()
        return answer

    monkeypatch.setattr(owner, name, done)


def to_link(path: Path, target: Path) -> Callable[[], None]:
    def swap() -> None:
        path.rename(path.with_name("moved away"))
        path.symlink_to(target)

    return swap


def test_g8_an_input_that_becomes_a_link_after_the_check_is_not_sent(
    here: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here.allowed / "file").write_text("plain")
    after(monkeypatch, FileRoots, "require", to_link(here.allowed / "file", here.secret))
    with pytest.raises(CopyFailed, match=r"allowed/file.*file_roots"):
        here.send("file")
    assert not list(here.there.iterdir())


@pytest.mark.parametrize("swapped", ["folder/inner", "folder/inner/file"])
def test_g8_what_becomes_a_link_inside_of_a_folder_that_is_sent_is_not_followed(
    here: Copying, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    (here.allowed / "folder" / "inner").mkdir(parents=True)
    (here.allowed / "folder" / "inner" / "file").write_text("plain!")
    target = here.secret if swapped.endswith("file") else here.elsewhere
    after(monkeypatch, file_transfer, "tree_of", to_link(here.allowed / swapped, target))
    with pytest.raises(CopyFailed, match=r"folder/inner/file.*file_roots"):
        here.send("folder")
    assert not (here.there / "folder").exists()


def test_g8_an_output_that_becomes_a_link_after_the_check_replaces_the_link_alone(
    here: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here.there / "file").write_text("result")
    (here.allowed / "file").write_text("old")
    swap = to_link(here.allowed / "file", here.secret)
    after(monkeypatch, FileRoots, "require", swap, nth=2)  # the last look before it is written
    here.fetch("file")
    assert (here.allowed / "file").read_text() == "result"
    assert not (here.allowed / "file").is_symlink()
    assert here.secret.read_text() == "secret"


@pytest.mark.parametrize("name", ["file", "folder"])
def test_g8_an_output_s_folder_that_becomes_a_link_after_the_check_gets_nothing(
    here: Copying, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (here.there / "file").write_text("result")
    (here.there / "folder").mkdir()
    (here.allowed / "out").mkdir()
    swap = to_link(here.allowed / "out", here.elsewhere)
    after(monkeypatch, FileRoots, "require", swap, nth=2)
    with pytest.raises(CopyFailed, match="file_roots"):
        here.fetch(f"out/{name}")
    assert [path.name for path in here.elsewhere.iterdir()] == ["file"]
    assert here.secret.read_text() == "secret"


def test_g8_a_folder_of_outputs_is_not_written_through_a_link(here: Copying) -> None:
    (here.there / "folder" / "inner").mkdir(parents=True)
    (here.there / "folder" / "inner" / "file").write_text("result")
    (here.allowed / "folder").mkdir()
    (here.allowed / "folder" / "inner").symlink_to(here.elsewhere)
    with pytest.raises(CopyFailed, match="file_roots"):
        here.fetch("folder")
    assert here.secret.read_text() == "secret"


def test_how_far_a_copy_is_stands_in_the_output(here: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_copies, "SAY_SECONDS", 0.0)
    monkeypatch.setattr("batchd_infra.transfer_errors.PROGRESS_SECONDS", 0.0)
    (here.allowed / "file").write_bytes(os.urandom(8 * MIB))
    here.send("file")
    *parts, last = here.said
    pattern = rf"batchd: {here.allowed}/file to box: (\d\.\d) of 8\.0 MiB"
    told = [float(found[1]) for line in parts if (found := re.fullmatch(pattern, line))]
    assert len(told) == len(parts) > 5
    assert told == sorted(told)
    assert re.fullmatch(rf"batchd: copied {here.allowed}/file to box: 8\.0 MiB in \d+\.\d s", last)


class Memory:
    """How much this process has grown at most since then."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = self._kib("VmRSS")

    def _kib(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def grown_kib(self) -> int:
        return self._kib("VmHWM") - self._before


@pytest.mark.slow
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_of_256_mib_does_not_fill_memory_on_its_way_there_and_back(here: Copying, what: str) -> None:
    (here.allowed / "folder").mkdir()
    big = here.allowed / ("file" if what == "file" else "folder/big")
    with big.open("wb") as file:
        file.truncate(256 * MIB)
    here.send("file" if what == "file" else "folder")  # the parts that are needed once are made here
    memory = Memory()
    here.send("file" if what == "file" else "folder")
    big.unlink()
    here.fetch("file" if what == "file" else "folder")
    assert big.stat().st_size == 256 * MIB
    assert memory.grown_kib() < 64 * 1024

"""Files and folders over a real `sshd`: whole or not at all, and named when they fail. FAULTS.md: D5."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchd_infra import file_transfer, folder_copies
from batchd_infra.file_transfer import FileTransfer, TransferCut, TransferFailed
from batchd_infra.sftp_pipeline import (
    CAREFUL_REQUEST_BYTES,
    REQUEST_BYTES,
    read_pieces,
    request_bytes,
    write_pieces,
)
from batchd_infra.ssh import SshConnection
from tests.sshd import Sshd
from tests.tcp_proxy import CutAfter, Pass, TcpProxy, tcp_proxy

MIB = 1 << 20


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The other machine's disk is this one's."""
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def some_file(path: Path, size: int = 3 * MIB + 17) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def some_folder(path: Path) -> Path:
    (path / "deep" / "deeper").mkdir(parents=True)
    (path / "empty").mkdir()
    for number in range(30):
        (path / "deep" / f"file {number}'s").write_bytes(os.urandom(number * 1000))
    (path / "deep" / "deeper" / "run.sh").write_text("#!/bin/sh\n")
    (path / "deep" / "deeper" / "run.sh").chmod(0o755)
    (path / "back\\slash").write_text("b")
    (path / "latest").symlink_to("deep/deeper/run.sh")
    return path


def picture(folder: Path) -> dict[str, Any]:
    """All of a folder: links, modes, contents."""
    seen: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            seen[name] = f"→ {path.readlink()}"
        elif path.is_dir():
            seen[name] = "folder"
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            seen[name] = (digest, path.stat().st_mode & 0o777)
    return seen


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checksum", [False, True])
def test_a_file_comes_there_and_back_with_its_mode(
    transfer: FileTransfer, tmp_path: Path, there: Path, checksum: bool
) -> None:
    local = some_file(tmp_path / "file")
    local.chmod(0o750)
    transfer.put(local, f"{there}/copy", checksum=checksum)
    transfer.get(f"{there}/copy", tmp_path / "back", checksum=checksum)
    assert (tmp_path / "back").read_bytes() == local.read_bytes()
    assert (there / "copy").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o750
    assert [path.name for path in there.iterdir()] == ["copy"]


def damaged(pieces: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
    """As by a bad disk: the right size, and one byte is another."""

    def flipped(*given: Any) -> Iterator[bytes]:
        for number, piece in enumerate(pieces(*given)):
            yield bytes([piece[0] ^ 1]) + piece[1:] if number == 0 else piece

    return flipped


def damaged_writing(file: Any, pieces: Iterator[bytes], size: int) -> Iterator[int]:
    return write_pieces(file, damaged(iter)(pieces), size)


def test_a_checksum_that_is_asked_for_finds_what_the_size_does_not(
    transfer: FileTransfer, tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = some_file(tmp_path / "file")
    (there / "copy").write_text("old")
    monkeypatch.setattr(file_transfer, "write_pieces", damaged_writing)
    with pytest.raises(TransferFailed, match="checksums differ") as raised:
        transfer.put(local, f"{there}/copy", checksum=True)
    assert raised.value.path == str(local)
    assert (there / "copy").read_text() == "old"
    transfer.put(local, f"{there}/copy")
    assert (there / "copy").stat().st_size == local.stat().st_size
    (tmp_path / "back").write_text("old")
    monkeypatch.setattr(file_transfer, "read_pieces", damaged(read_pieces))
    with pytest.raises(TransferFailed, match="checksums differ") as raised:
        transfer.get(f"{there}/copy", tmp_path / "back", checksum=True)
    assert raised.value.path == f"{there}/copy"
    assert (tmp_path / "back").read_text() == "old"


def test_a_checksum_that_differs_in_a_folder_is_found_by_the_file_s_name(
    transfer: FileTransfer, tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = some_folder(tmp_path / "folder")
    some_folder(there / "folder")
    wrong = "find . -type f -name run.sh -exec sh -c 'echo 0$(sha256sum \"$1\" | cut -c2-)' - {} \\;"
    others = "find . -type f ! -name run.sh -exec sha256sum {} +"
    monkeypatch.setattr(folder_copies, "_SUMS", f"{others} && {wrong}")
    with pytest.raises(TransferFailed, match=r"deep/deeper/run\.sh"):
        transfer.put(folder, f"{there}/copy", checksum=True)
    assert not (there / "copy").exists()
    with pytest.raises(TransferFailed, match=r"deep/deeper/run\.sh"):
        transfer.get(f"{there}/folder", tmp_path / "back", checksum=True)
    assert not (tmp_path / "back").exists()


def test_an_empty_file_is_a_file(transfer: FileTransfer, tmp_path: Path, there: Path) -> None:
    (tmp_path / "empty").touch()
    transfer.put(tmp_path / "empty", f"{there}/copy", checksum=True)
    transfer.get(f"{there}/copy", tmp_path / "back", checksum=True)
    assert (tmp_path / "back").read_bytes() == b""


def test_odd_names_are_names(transfer: FileTransfer, tmp_path: Path, there: Path) -> None:
    local = some_file(tmp_path / "file", 10)
    for name in ("-rf", "a b", "quote's", "$(touch x)", "gr\xfc\xdfe", "new\nline"):
        transfer.put(local, f"{there}/{name}", checksum=True)
        assert (there / name).exists()
        transfer.get(f"{there}/{name}", tmp_path / "back", checksum=True)


def test_progress_is_told_once_a_second_and_at_the_end(
    transfer: FileTransfer, tmp_path: Path, there: Path
) -> None:
    told: list[tuple[int, int]] = []
    transfer.put(
        some_file(tmp_path / "file"), f"{there}/copy", lambda done, total: told.append((done, total))
    )
    assert told[-1] == (3 * MIB + 17, 3 * MIB + 17)
    assert len(told) < 10


@pytest.mark.parametrize(
    ("remote", "why"),
    [("none", "No such file"), ("locked/file", "No such file")],
    ids=["missing", "no folder"],
)
def test_a_file_that_is_not_there_is_named(
    transfer: FileTransfer, tmp_path: Path, there: Path, remote: str, why: str
) -> None:
    with pytest.raises(TransferFailed, match=why) as raised:
        transfer.get(f"{there}/{remote}", tmp_path / "back")
    assert raised.value.path == f"{there}/{remote}"
    with pytest.raises(TransferFailed) as raised:
        transfer.put(tmp_path / "nowhere", f"{there}/copy")
    assert raised.value.path == str(tmp_path / "nowhere")
    assert not (tmp_path / "back").exists()


def test_the_size_of_a_request_is_what_the_server_can_take() -> None:
    assert request_bytes("SSH-2.0-OpenSSH_9.2p1 Debian-2") == REQUEST_BYTES
    assert request_bytes("SSH-2.0-OpenSSH_8.4p1") == CAREFUL_REQUEST_BYTES
    assert request_bytes("SSH-2.0-dropbear_2022.83") == CAREFUL_REQUEST_BYTES


# --- folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checksum", [False, True])
def test_a_folder_comes_there_and_back_with_all_that_is_in_it(
    transfer: FileTransfer, tmp_path: Path, there: Path, checksum: bool
) -> None:
    folder = some_folder(tmp_path / "folder")
    transfer.put(folder, f"{there}/copy", checksum=checksum)
    assert picture(there / "copy") == picture(folder)
    transfer.get(f"{there}/copy", tmp_path / "back", checksum=checksum)
    assert picture(tmp_path / "back") == picture(folder)
    assert [path.name for path in there.iterdir()] == ["copy"]
    assert not (tmp_path / "back.part").exists()


def test_a_folder_that_is_there_already_keeps_what_is_not_replaced(
    transfer: FileTransfer, tmp_path: Path, there: Path
) -> None:
    folder = some_folder(tmp_path / "folder")
    for target in (there / "copy", tmp_path / "back"):
        (target / "deep").mkdir(parents=True)
        (target / "deep" / "own").write_text("own")
        (target / "deep" / "file 1's").write_text("old")
    transfer.put(folder, f"{there}/copy")
    transfer.get(f"{there}/copy", tmp_path / "back")
    for target in (there / "copy", tmp_path / "back"):
        assert (target / "deep" / "own").read_text() == "own"
        assert picture(folder).items() <= picture(target).items()


def test_without_tar_a_folder_goes_file_by_file(
    transfer: FileTransfer, tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_copies, "_NEEDS_TAR", f"exit {folder_copies.NO_TAR}")
    folder = some_folder(tmp_path / "folder")
    transfer.put(folder, f"{there}/copy")
    assert picture(there / "copy") == picture(folder)
    (there / "copy" / "latest").unlink()
    transfer.get(f"{there}/copy", tmp_path / "back")
    assert picture(tmp_path / "back") == picture(there / "copy")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside"])
def test_a_link_out_of_the_folder_is_refused_by_name(
    transfer: FileTransfer, tmp_path: Path, there: Path, target: str
) -> None:
    for folder in (tmp_path / "here", there / "folder"):
        folder.mkdir()
        (folder / "link").symlink_to(target)
    with pytest.raises(TransferFailed, match="here/link: is a link that leads out of its folder"):
        transfer.put(tmp_path / "here", f"{there}/copy")
    with pytest.raises(TransferFailed, match="folder/link: is a link that leads out of its folder"):
        transfer.get(f"{there}/folder", tmp_path / "back")
    assert not (there / "copy").exists()
    assert not (tmp_path / "back").exists()


def test_what_is_neither_file_nor_folder_is_refused_by_name(
    transfer: FileTransfer, tmp_path: Path, there: Path
) -> None:
    for folder in (tmp_path / "here", there / "folder"):
        folder.mkdir()
        os.mkfifo(folder / "pipe")
    with pytest.raises(TransferFailed, match="here/pipe: is neither"):
        transfer.put(tmp_path / "here", f"{there}/copy")
    with pytest.raises(TransferFailed, match="folder/pipe: is neither"):
        transfer.get(f"{there}/folder", tmp_path / "back")


def test_nothing_is_written_through_a_link_that_is_there(
    transfer: FileTransfer, tmp_path: Path, there: Path
) -> None:
    some_folder(there / "folder")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "deep").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TransferFailed, match="nothing is written through it"):
        transfer.get(f"{there}/folder", tmp_path / "back")
    assert list((tmp_path / "elsewhere").iterdir()) == []


# --- a bad network, a full disk ----------------------------------------------------------------------------


@pytest.fixture
def cut(sshd: Sshd, tmp_path: Path) -> Iterator[tuple[FileTransfer, TcpProxy]]:
    with tcp_proxy(sshd.port) as proxy:
        known = tmp_path / "known_hosts"
        known.write_text(sshd.known_hosts.read_text().replace(str(sshd.port), str(proxy.port)))
        connection = SshConnection(sshd.target(port=proxy.port, known_hosts_file=known))
        yield FileTransfer(connection), proxy
        connection.close()


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_d5_a_cut_in_the_middle_leaves_the_target_and_the_next_try_is_whole(
    cut: tuple[FileTransfer, TcpProxy], tmp_path: Path, there: Path, what: str, direction: Any
) -> None:
    transfer, proxy = cut
    source = tmp_path / "source" if direction == "up" else there / "source"
    target = there / "target" if direction == "up" else tmp_path / "target"
    if what == "folder":
        some_folder(source)
        some_file(source / "big")
    else:
        some_file(source)
        target.write_text("old")

    def copy() -> None:
        if direction == "up":
            transfer.put(source, str(target))
        else:
            transfer.get(str(source), target)

    proxy.mode = CutAfter(2 * MIB, direction)
    begun = time.monotonic()
    with pytest.raises(TransferCut) as raised:
        copy()
    assert time.monotonic() - begun < 10
    assert str(source) in raised.value.path
    assert target.read_text() == "old" if what == "file" else not target.exists()
    proxy.mode = Pass()
    copy()
    if what == "folder":
        assert picture(target) == picture(source)
    else:
        assert target.read_bytes() == source.read_bytes()


def test_a_full_disk_there_is_said_and_leaves_what_was_there(
    transfer: FileTransfer, tmp_path: Path, there: Path
) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", there], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        (there / "copy").write_text("old")
        with pytest.raises(TransferFailed) as raised:
            transfer.put(some_file(tmp_path / "file"), f"{there}/copy")
        assert not isinstance(raised.value, TransferCut)
        assert (there / "copy").read_text() == "old"
        (there / "copy.part").unlink(missing_ok=True)
        folder = some_folder(tmp_path / "folder")
        some_file(folder / "big")
        with pytest.raises(TransferFailed, match="No space left") as raised:
            transfer.put(folder, f"{there}/folder")
        assert not (there / "folder").exists()
    finally:
        subprocess.run(["umount", "-l", there], check=True)


# --- looking around ----------------------------------------------------------------------------------------


def test_a_pattern_finds_what_matches_and_a_name_finds_itself(transfer: FileTransfer, there: Path) -> None:
    for name in ("a 1.txt", "a 2.txt", "b.txt", "a[1].txt", "$HOME.txt"):
        (there / name).touch()
    assert transfer.glob(f"{there}/a ?.txt") == [f"{there}/a 1.txt", f"{there}/a 2.txt"]
    assert transfer.glob(f"{there}/[b-c]*") == [f"{there}/b.txt"]
    assert transfer.glob(f"{there}/a[1].txt") == [f"{there}/a[1].txt"]
    assert transfer.glob(f"{there}/$HOME.txt") == [f"{there}/$HOME.txt"]
    assert transfer.glob(f"{there}/none*") == []
    assert transfer.glob(f"{there}/none") == []


def test_folders_are_made_for_us_alone_and_removed_with_all_in_them(
    transfer: FileTransfer, there: Path
) -> None:
    transfer.make_folder(f"{there}/one/two three")
    transfer.make_folder(f"{there}/one/two three")
    assert (there / "one" / "two three").stat().st_mode & 0o777 == 0o700
    (there / "one" / "two three" / "file").touch()
    transfer.remove_tree(f"{there}/one")
    transfer.remove_tree(f"{there}/one")
    assert list(there.iterdir()) == []

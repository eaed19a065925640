"""Whole folders as one stream of tar: a thousand small files cost about as much as one big one.

They are unpacked beside, compared file by file, and then put in their place. Links are kept where they lead
to something inside of the folder, by a relative path; others are refused, for whoever writes through one
later would write somewhere else.
"""

import hashlib
import os
import posixpath
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from batchd_infra.remote_paths import by_sh, plain, word
from batchd_infra.ssh import SshConnection
from batchd_infra.ssh_channel import SshChannel
from batchd_infra.ssh_errors import SshError, Unreachable
from batchd_infra.transfer_errors import SILENCE_SECONDS, Meter, TransferFailed, about

PART = ".part"
NO_TAR = 97
STREAM_BYTES = 1 << 18
COMPARE_SECONDS = 3600.0
_SIZES = "find . -type f -exec wc -c {} +"
_SUMS = "find . -type f -exec sha256sum {} +"
_NEEDS_TAR = f"command -v tar >/dev/null || exit {NO_TAR}"


Opened = Callable[[Path], BinaryIO]  # how a file that is to be sent is opened


def plainly_opened(path: Path) -> BinaryIO:
    return path.open("rb")


class TarMissing(SshError):
    """The other machine has no tar."""


@dataclass(kw_only=True)
class Tree:
    """What a folder holds, by the paths inside of it. `sums` only where they were asked for."""

    folders: dict[str, int] = field(default_factory=dict)  # name → mode
    sizes: dict[str, int] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.sizes.values())


def tree_of(folder: Path) -> Tree:
    """Raises TransferFailed for what cannot be copied."""
    tree = Tree()
    for place, folders, files in os.walk(folder, onerror=_raise):
        for name in (*folders, *files):
            path = Path(place, name)
            inside = path.relative_to(folder).as_posix()
            seen = path.lstat()
            if stat.S_ISLNK(seen.st_mode):
                tree.links[inside] = require_inside(inside, str(path.readlink()), str(path))
            elif stat.S_ISDIR(seen.st_mode):
                tree.folders[inside] = seen.st_mode & 0o777
            elif stat.S_ISREG(seen.st_mode):
                tree.sizes[inside] = seen.st_size
            else:
                raise TransferFailed(str(path), "is neither a file nor a folder")
    return tree


def _raise(error: OSError) -> None:
    raise TransferFailed(str(error.filename), error.strerror or str(error))


def require_inside(inside: str, target: str, named: str) -> str:
    """The link's target. Raises TransferFailed."""
    end = posixpath.normpath(posixpath.join(posixpath.dirname(inside), target))
    if target.startswith("/") or end == ".." or end.startswith("../"):
        raise TransferFailed(named, f"is a link that leads out of its folder, to {target}")
    if end == "." or inside.startswith(f"{end}/"):
        raise TransferFailed(named, "is a link to a folder that it lies in")
    return target


def put_folder(
    connection: SshConnection,
    local: Path,
    remote: str,
    tree: Tree,
    meter: Meter,
    *,
    checksum: bool,
    opened: Opened = plainly_opened,
) -> None:
    """Raises TarMissing, TransferFailed."""
    beside = word(plain(remote).rstrip("/") + PART)
    unpack = f"umask 077; {_NEEDS_TAR}; rm -rf {beside} && mkdir -p {beside} && cd {beside} && tar -xpof -"
    with (
        about(str(local)),
        connection.session(by_sh(f"{unpack} && {_SUMS if checksum else _SIZES}")) as channel,
    ):
        channel.raw.settimeout(SILENCE_SECONDS)
        sums = _send(channel, local, tree, meter, checksum=checksum, opened=opened)
        code, said, problem = channel.rest(COMPARE_SECONDS)
    _require(code, problem, remote)
    _compare(
        str(local), sums if checksum else tree.sizes, parse_sums(said) if checksum else parse_sizes(said)
    )
    finished = connection.run(by_sh(_place_script(remote, beside)), timeout_seconds=COMPARE_SECONDS)
    _require(finished.exit_code, finished.stderr, remote)


def _send(
    channel: SshChannel, local: Path, tree: Tree, meter: Meter, *, checksum: bool, opened: Opened
) -> dict[str, str]:
    """The stream; the sums of what was sent. Where the other side has had enough, its own words tell why."""
    sums: dict[str, str] = {}
    try:
        with tarfile.open(
            fileobj=cast(BinaryIO, _Writer(channel)),
            mode="w|",
            bufsize=STREAM_BYTES,
            format=tarfile.GNU_FORMAT,
        ) as stream:
            stream.copybufsize = STREAM_BYTES  # type: ignore[attr-defined]
            for name, mode in sorted(tree.folders.items()):
                stream.addfile(_entry(name, tarfile.DIRTYPE, mode | 0o700))
            for name in tree.sizes:
                sums[name] = _send_file(
                    stream, local / name, name, tree.sizes[name], meter, checksum=checksum, opened=opened
                )
            for name, target in tree.links.items():
                link = _entry(name, tarfile.SYMTYPE, 0o777)
                link.linkname = target
                stream.addfile(link)
    except Unreachable:
        if not channel.has_ended():
            raise
    else:
        channel.end_input()
    return sums


def _send_file(
    stream: tarfile.TarFile,
    path: Path,
    name: str,
    size: int,
    meter: Meter,
    *,
    checksum: bool,
    opened: Opened,
) -> str:
    digest = hashlib.sha256()
    with about(str(path)), opened(path) as source:
        entry = _entry(name, tarfile.REGTYPE, os.fstat(source.fileno()).st_mode & 0o777)
        entry.size = size
        stream.addfile(entry, cast(BinaryIO, _Counted(source, meter, digest if checksum else None)))
        if source.read(1):
            raise TransferFailed(str(path), "it has grown while it was copied")
    return digest.hexdigest()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


def _place_script(remote: str, beside: str) -> str:
    """What is not there is renamed as a whole; into what is there each file is moved, by a rename each."""
    target = word(plain(remote).rstrip("/"))
    move_all = (
        'cd "$p" && find . -type d -exec sh -c \'for d; do mkdir -p "$0/$d" || exit 1; done\' "$t" {} + && '
        'find . ! -type d -exec sh -c \'for f; do mv -f "$f" "$0/$f" || exit 1; done\' "$t" {} + && '
        'cd / && rm -rf "$p"'
    )
    return (
        f"umask 077; p={beside}; t={target}; case $t in /*) ;; *) p=$PWD/$p t=$PWD/$t ;; esac; "
        f'if [ -e "$t" ] || [ -L "$t" ]; then {move_all}; else mv "$p" "$t"; fi'
    )


def get_folder(
    connection: SshConnection,
    remote: str,
    local: Path,
    tree: Mapping[str, int],
    meter: Meter,
    *,
    checksum: bool,
) -> None:
    """`tree` is what `sizes_there` said. Raises TransferFailed."""
    beside = local.with_name(local.name + PART)
    if beside.is_symlink() or beside.is_file():
        beside.unlink()
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    try:
        with about(remote), connection.session(by_sh(f"cd {word(remote)} && tar -cf - .")) as channel:
            arrived = _unpack(channel, beside, remote, meter, checksum=checksum)
            code, _, problem = channel.rest(SILENCE_SECONDS)
        _require(code, problem, remote)
        _compare(remote, tree, arrived.sizes)
        if checksum:
            finished = connection.run(by_sh(f"cd {word(remote)} && {_SUMS}"), timeout_seconds=COMPARE_SECONDS)
            _require(finished.exit_code, finished.stderr, remote)
            _compare(remote, parse_sums(finished.stdout), arrived.sums)
        with about(str(local)):
            _place(beside, local, arrived)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def sizes_there(connection: SshConnection, remote: str) -> dict[str, int]:
    """Raises TarMissing, TransferFailed for what cannot be copied."""
    odd = "find . ! -type f ! -type d ! -type l"
    script = f"{_NEEDS_TAR}; cd {word(remote)} && {odd} && echo // && {_SIZES}"
    finished = connection.run(by_sh(script), timeout_seconds=COMPARE_SECONDS, output_limit_bytes=1 << 30)
    _require(finished.exit_code, finished.stderr, remote)
    strange, _, sizes = finished.stdout.rpartition(b"//\n")
    if strange.strip():
        first = os.fsdecode(strange.splitlines()[0]).removeprefix("./")
        raise TransferFailed(posixpath.join(remote, first), "is neither a file nor a folder")
    return parse_sizes(sizes)


def _unpack(channel: SshChannel, into: Path, remote: str, meter: Meter, *, checksum: bool) -> Tree:
    tree = Tree()
    with tarfile.open(fileobj=cast(BinaryIO, _Reader(channel)), mode="r|", bufsize=STREAM_BYTES) as stream:
        for entry in stream:
            name = posixpath.normpath(entry.name)
            named = posixpath.join(remote, name)
            if name.startswith(("/", "../")) or name == "..":
                raise TransferFailed(named, "is a name that leads out of its folder")
            _unpack_one(stream, entry, into, name, named, tree, meter, checksum=checksum)
    return tree


def _unpack_one(
    stream: tarfile.TarFile,
    entry: tarfile.TarInfo,
    into: Path,
    name: str,
    named: str,
    tree: Tree,
    meter: Meter,
    *,
    checksum: bool,
) -> None:
    if entry.isdir():
        (into / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        tree.folders[name] = entry.mode & 0o777
    elif entry.issym():  # made at the end: nothing is ever unpacked through one
        tree.links[name] = require_inside(name, entry.linkname, named)
    elif entry.islnk():  # a second name of a file that has come already
        first = posixpath.normpath(entry.linkname)
        if first not in tree.sizes:
            raise TransferFailed(named, "is another name of a file outside of its folder")
        shutil.copy(into / first, into / name)
        tree.sizes[name] = tree.sizes[first]
        tree.sums[name] = tree.sums[first]
        meter.add(tree.sizes[name])
    elif entry.isfile():
        source = cast(BinaryIO, stream.extractfile(entry))
        digest = hashlib.sha256()
        (into / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (into / name).open("xb") as target:
            for piece in _pieces(source):
                target.write(piece)
                meter.add(len(piece))
                if checksum:
                    digest.update(piece)
            os.fchmod(target.fileno(), entry.mode & 0o777)
        tree.sizes[name], tree.sums[name] = entry.size, digest.hexdigest()
    else:
        raise TransferFailed(named, "is neither a file nor a folder")


def _place(beside: Path, local: Path, tree: Tree) -> None:
    for name, target in tree.links.items():
        (beside / name).symlink_to(target)
    for name, mode in sorted(tree.folders.items(), reverse=True):
        (beside / name).chmod(mode | 0o700)
    if not local.exists() and not local.is_symlink():
        beside.rename(local)
        return
    for name in ("", *sorted(tree.folders)):
        if (local / name).is_symlink():
            raise TransferFailed(str(local / name), "is a link, and nothing is written through it")
        (local / name).mkdir(exist_ok=True)
    for name in (*tree.sizes, *tree.links):
        (beside / name).replace(local / name)


def _require(code: int | None, problem: bytes, named: str) -> None:
    if code == NO_TAR:
        raise TarMissing(f"{named}: there is no tar on that machine")
    if code != 0:
        raise TransferFailed(named, problem.decode(errors="replace").strip()[-500:] or "it failed there")


def _compare(named: str, here: Mapping[str, object], there: Mapping[str, object]) -> None:
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            why = f"{_shown(there.get(name))} came of {_shown(here.get(name))}"
            raise TransferFailed(posixpath.join(named, name), f"{why}; did it change meanwhile?")


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value} bytes" if isinstance(value, int) else str(value)


def parse_sizes(said: bytes) -> dict[str, int]:
    """What `wc -c ./…` prints; its totals have no `./`."""
    pairs = (os.fsdecode(line).split(None, 1) for line in said.splitlines())
    return {pair[1][2:]: int(pair[0]) for pair in pairs if len(pair) == 2 and pair[1].startswith("./")}


def parse_sums(said: bytes) -> dict[str, str]:
    """What `sha256sum ./…` prints; a backslash in front says that the name holds escaped ones."""
    sums = {}
    for line in said.splitlines():
        text = os.fsdecode(line)
        name = text.lstrip("\\")[66:]
        if text.startswith("\\"):
            name = name.replace("\\\\", "\\")
        sums[name.removeprefix("./")] = text.lstrip("\\")[:64]
    return sums


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(STREAM_BYTES):
        yield piece


class _Writer:
    """A channel as a file that tar writes to."""

    def __init__(self, channel: SshChannel) -> None:
        self._channel = channel

    def write(self, data: bytes) -> int:
        self._channel.write(data)
        return len(data)


class _Reader:
    """A channel as a file that tar reads from."""

    def __init__(self, channel: SshChannel) -> None:
        self._channel = channel

    def read(self, size: int) -> bytes:
        data = self._channel.read_some(size, timeout_seconds=SILENCE_SECONDS)
        if not data:
            self._channel.ended(SILENCE_SECONDS)  # else it was cut, and not the end of the stream
        return data


class _Counted:
    """A file as tar reads it, counted."""

    def __init__(self, source: BinaryIO, meter: Meter, digest: "hashlib._Hash | None") -> None:
        self._source = source
        self._meter = meter
        self._digest = digest

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._meter.add(len(data))
        if self._digest is not None:
            self._digest.update(data)
        return data

"""SFTP at the speed of the line: many requests under way, few bytes in memory.

paramiko's own prefetch sends from a thread of its own, with a race after which it reads piece by piece.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator

import paramiko
from paramiko.sftp import CMD_DATA, CMD_READ, CMD_STATUS, SFTPError, int64

REQUEST_BYTES = 261_120  # the most that OpenSSH takes, since 8.5
CAREFUL_REQUEST_BYTES = 32_768  # what every server takes
READS_UNDER_WAY = 16
_OPENSSH = re.compile(r"OpenSSH_(\d+)\.(\d+)")


def request_bytes(remote_version: str) -> int:
    """How much one request may ask for, by what the server says it is."""
    found = _OPENSSH.search(remote_version)
    new = found is not None and (int(found[1]), int(found[2])) >= (8, 5)
    return REQUEST_BYTES if new else CAREFUL_REQUEST_BYTES


def write_pieces(file: paramiko.SFTPFile, pieces: Iterable[bytes], size: int) -> Iterator[int]:
    """Yields how many bytes each piece had; `size` is a request's. Errors may come late, with the close."""
    file.MAX_REQUEST_SIZE = size
    file.set_pipelined(True)
    for piece in pieces:
        file.write(piece)
        yield len(piece)


def read_pieces(sftp: paramiko.SFTPClient, file: paramiko.SFTPFile, total: int, size: int) -> Iterator[bytes]:
    """The first `total` bytes, in order; less where the file has become shorter."""
    reader = _Reader(sftp, file, total, size)
    while piece := reader.next():
        yield piece


class _Reader:
    """Asks ahead, and hands out in order. paramiko gives the answers to `_async_response`."""

    def __init__(self, sftp: paramiko.SFTPClient, file: paramiko.SFTPFile, total: int, size: int) -> None:
        self._sftp = sftp
        self._handle = file.handle
        self._total = total
        self._size = size
        self._asked_to = 0
        self._requests: deque[tuple[int, int, int]] = deque()
        self._answers: dict[int, bytes] = {}
        self._problem: Exception | None = None

    def next(self) -> bytes:
        self._ask_ahead()
        if not self._requests:
            return b""
        number, offset, length = self._requests.popleft()
        data = self._answer(number)
        if not data:
            return b""
        if len(data) < length:  # some servers give less than was asked for
            self._requests.appendleft(self._ask(offset + len(data), length - len(data)))
        return data

    def _ask_ahead(self) -> None:
        while self._asked_to < self._total and len(self._requests) < READS_UNDER_WAY:
            length = min(self._size, self._total - self._asked_to)
            self._requests.append(self._ask(self._asked_to, length))
            self._asked_to += length

    def _ask(self, offset: int, length: int) -> tuple[int, int, int]:
        number = self._sftp._async_request(self, CMD_READ, self._handle, int64(offset), length)  # type: ignore[attr-defined]
        return number, offset, length

    def _answer(self, number: int) -> bytes:
        while number not in self._answers:
            self._sftp._read_response()  # type: ignore[attr-defined]
            if self._problem is not None:
                raise self._problem
        return self._answers.pop(number)

    def _async_response(self, kind: int, message: paramiko.Message, number: int) -> None:
        if kind == CMD_DATA:
            self._answers[number] = message.get_string()
        elif kind == CMD_STATUS:
            self._note_status(message, number)
        else:
            self._problem = SFTPError("an answer that is none to a read")

    def _note_status(self, message: paramiko.Message, number: int) -> None:
        try:
            self._sftp._convert_status(message)  # type: ignore[attr-defined]
        except EOFError:
            self._answers[number] = b""
        except OSError as error:
            self._problem = error

"""What every group of the client's calls is made of: requests, paths, answers turned into records."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from batchd_cli.connection import Connection
from batchd_cli.errors import Forbidden, ForceNeeded, InvalidName, ProtocolError
from batchd_cli.record import Record

R = TypeVar("R", bound=Record)


class Calls:
    """Requests over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _get(self, path: str) -> Any:
        return self._connection.request("GET", path)

    def _send(self, method: str, path: str, body: object = None) -> Any:
        return self._connection.request(method, path, body)

    def _list(self, method: str, path: str) -> list[Any]:
        answer = self._connection.request(method, path)
        if not isinstance(answer, list):
            raise ProtocolError(f"expected a list from {path}, got {str(answer)[:80]!r}")
        return answer

    def _mapping(self, path: str) -> Mapping[str, Any]:
        answer = self._get(path)
        if not isinstance(answer, dict):
            raise ProtocolError(f"expected figures from {path}, got {str(answer)[:80]!r}")
        return answer

    def _records(self, kind: type[R], path: str) -> list[R]:
        return [kind.from_json(one) for one in self._list("GET", path)]

    def _names(self, path: str) -> list[str]:
        return [str(one) for one in self._list("GET", path)]

    def _number(self, answer: object) -> int:
        if not isinstance(answer, int) or isinstance(answer, bool):
            raise ProtocolError(f"expected an id, got {answer!r}")
        return answer

    def _delete(self, path: str, name: str, *, forced: bool) -> None:
        """Two refusals are 403; the one that force would answer names it (a thing's own name aside)."""
        try:
            self._send("DELETE", path + ("?forced=true" if forced else ""))
        except Forbidden as error:
            if forced or "force" not in error.sentence.replace(name, "").lower():
                raise
            raise ForceNeeded(error.status, error.sentence, error.path) from error


def make_path(*segments: str, query: Mapping[str, str] | None = None) -> str:
    """A path with every name percent-encoded, slashes too."""
    if not all(segments):
        raise InvalidName
    path = "".join("/" + quote(one, safe="", errors="replace") for one in segments)
    return path + ("?" + urlencode(query) if query else "")

"""What a browser gets: the built-in pages, or the files of `manager.web_client.path`."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from batchd_api.errors import NotFound
from batchd_api.gate import INNER_SLASH

START_PAGE = "batch.html"
MONITOR_PAGE = "monitor.html"

BUILT_IN = Path(__file__).parent / "web"
BUILT_IN_PREFIX = "/web/"
PREFECT_PLACE = "{prefect_ui_url}"
# Nothing but our own files is loaded or run, nobody else is spoken to, nobody shows us in a frame of theirs.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for again each time, so that page and facade are of one version
}


class WebClient:
    """A folder's files come without a content policy: old pages have scripts inside."""

    def __init__(self, folder: Path | None, prefect_ui_url: str | None) -> None:
        self._is_built_in = folder is None
        self._files = StaticFiles(directory=folder or BUILT_IN, check_dir=False)
        self._prefect_ui_url = prefect_ui_url

    async def page(self, name: str, scope: Any) -> Response:
        """One of the two pages that have a path of their own; the built-in ones are one file."""
        if self._is_built_in:
            page = (BUILT_IN / "index.html").read_text(encoding="utf-8")
            return HTMLResponse(page.replace(PREFECT_PLACE, escape(self._prefect_ui_url or "")), 200, HEADERS)
        found = await self.file(name, scope)
        if found is None:
            raise NotFound("file", name)
        return found

    async def file(self, path: str, scope: Any) -> Response | None:
        """None where there is no such file; nothing outside the folder is looked at, links included."""
        if INNER_SLASH in path or scope["method"] not in ("GET", "HEAD"):
            return None
        if not self._is_built_in:
            return await self._found(path.lstrip("/"), scope)
        if not path.startswith(BUILT_IN_PREFIX):
            return None
        found = await self._found(path.removeprefix(BUILT_IN_PREFIX), scope)
        if found is not None:
            found.headers.update(HEADERS)
        return found

    async def _found(self, path: str, scope: Any) -> Response | None:
        try:
            return await self._files.get_response(path, scope)
        except (HTTPException, ValueError):  # ValueError: a name that no file can have
            return None

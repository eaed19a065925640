"""What a browser gets: the files of `manager.web_client.path`, or a page that says what this is."""

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

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>batchd</title></head>
<body>
<h1>batchd</h1>
<p>This is the REST API of batchd. The command line is <code>batch --help</code>;
the API is described at <a href="/openapi.json">/openapi.json</a>.</p>
<p>{prefect}</p>
</body>
</html>
"""


class WebClient:
    """The folder's files come without a content policy: old pages have scripts inside."""

    def __init__(self, folder: Path | None, prefect_ui_url: str | None) -> None:
        self._files = None if folder is None else StaticFiles(directory=folder, check_dir=False)
        self._prefect_ui_url = prefect_ui_url

    async def page(self, name: str, scope: Any) -> Response:
        """One of the two pages that have a path of their own."""
        if self._files is None:
            return HTMLResponse(self._built_in())
        found = await self.file(name, scope)
        if found is None:
            raise NotFound("file", name)
        return found

    async def file(self, path: str, scope: Any) -> Response | None:
        """None where there is no such file; nothing outside the folder is looked at, links included."""
        if self._files is None or INNER_SLASH in path or scope["method"] not in ("GET", "HEAD"):
            return None
        try:
            return await self._files.get_response(path.lstrip("/"), scope)
        except (HTTPException, ValueError):  # ValueError: a name that no file can have
            return None

    def _built_in(self) -> str:
        url = self._prefect_ui_url
        if url is None:
            return _PAGE.format(prefect="Jobs are shown in the Prefect UI too.")
        link = f'<a href="{escape(url)}">{escape(url)}</a>'
        return _PAGE.format(prefect=f"Jobs are shown in the Prefect UI too, at {link}.")

"""One progress bar and one result page a run, in Prefect: when there is nothing more urgent to show."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from batchd_api.artifact_books import PROGRESS, RESULT, ArtifactBooks, ProgressDue, Result
from batchd_api.services.durations import spoken
from batchd_flows.orchestrator_records import ArtifactGone, OrchestratorRefused

log = logging.getLogger("batchd.mirror")

PROGRESS_SECONDS = 5.0  # between two looks at how far the running jobs are
SWEEP_SECONDS = 600.0
MOST_RESULTS = 1000  # that wait to be shown; in a flood of ends the oldest have none
AT_ONCE = 50


class ArtifactWriter(Protocol):
    async def create_progress(self, run_id: UUID, percent: float, text: str) -> UUID: ...

    async def update_progress(self, artifact_id: UUID, percent: float, text: str) -> None: ...

    async def create_result(self, run_id: UUID, markdown: str) -> UUID: ...

    async def delete(self, artifact_id: UUID) -> None: ...


class RunArtifacts:
    """Runs in the mirror's loop. `page_url`: where people open our own page, without a final slash."""

    def __init__(
        self,
        books: ArtifactBooks,
        writer: ArtifactWriter,
        *,
        page_url: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._books = books
        self._writer = writer
        self._page_url = page_url
        self._clock = clock
        self._ended: deque[str] = deque(maxlen=MOST_RESULTS)
        self._progress_at = self._sweep_at = 0.0

    async def start(self) -> None:
        """Find what a process before this one has not shown."""
        self._ended.extend(await asyncio.to_thread(self._books.without_result, self._clock(), MOST_RESULTS))

    def ended(self, run_id: str) -> None:
        """Its final state stands in Prefect."""
        self._ended.append(run_id)

    async def step(self, *, is_idle: bool) -> bool:
        """Progress now and then; one result, where nothing else is to be shown. Whether something was."""
        now, worked = time.monotonic(), False
        if now >= self._progress_at:
            self._progress_at = now + PROGRESS_SECONDS
            for due in await asyncio.to_thread(self._books.progress_due):
                await self._patiently(due.run_id, self._show_progress(due))
        if is_idle and self._ended:
            await self._patiently(self._ended[0], self._show_result(self._ended[0]))
            self._ended.popleft()
            worked = True
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            await self._remove_all(list(await asyncio.to_thread(self._books.orphans, AT_ONCE)))
        return worked

    async def remove(self, run_id: str) -> None:
        """All that stands beside a run that goes."""
        await self._remove_all(list(await asyncio.to_thread(self._books.of_run, run_id)))

    async def _remove_all(self, artifact_ids: list[str]) -> None:
        for artifact_id in artifact_ids:
            await self._writer.delete(UUID(artifact_id))
            await asyncio.to_thread(self._books.forget, artifact_id)

    async def _patiently(self, run_id: str, work: Awaitable[None]) -> None:
        """An artifact that Prefect refuses holds nothing else up."""
        try:
            await work
        except OrchestratorRefused as error:
            if error.status in (401, 403):  # it refuses us, not this artifact
                raise
            log.error("an artifact of run %s is left out: %s", run_id, error)  # noqa: TRY400  said whole

    async def _show_progress(self, due: ProgressDue) -> None:
        artifact_id = due.artifact_id
        if artifact_id is not None:
            try:
                await self._writer.update_progress(UUID(artifact_id), due.percent, due.text)
            except ArtifactGone:
                await asyncio.to_thread(self._books.forget, artifact_id)
                artifact_id = None
        if artifact_id is None:
            made = await self._writer.create_progress(UUID(due.run_id), due.percent, due.text)
            artifact_id = str(made)
        await asyncio.to_thread(
            self._books.note, artifact_id, due.run_id, PROGRESS, due.percent, self._clock()
        )

    async def _show_result(self, run_id: str) -> None:
        result = await asyncio.to_thread(self._books.result, run_id)
        if result is None:
            return
        if result.progress_id is not None and result.percent is not None:
            due = ProgressDue(
                run_id=run_id, artifact_id=result.progress_id, percent=result.percent, text="ended"
            )
            await self._show_progress(due)
        made = await self._writer.create_result(UUID(run_id), result_page(result, self._page_url))
        await asyncio.to_thread(self._books.note, str(made), run_id, RESULT, None, self._clock())


def result_page(result: Result, page_url: str) -> str:
    """In Markdown; nothing that a job or a user wrote becomes markup."""
    took = None
    if result.seconds is not None:
        usual = "" if result.usual_seconds is None else f" (usually {spoken(result.usual_seconds)})"
        took = f"{spoken(result.seconds)}{usual}"
    rows = [
        ("job", f"[#{result.job_id}]({page_url}/#/job/{result.job_id})"),
        ("what", f"{_cell(result.type_name)} in queue {_cell(result.queue_name)}"),
        ("exit code", "none is known" if result.exit_code is None else str(result.exit_code)),
        ("reason", result.reason and _cell(result.reason)),
        ("took", took),
        ("execution", str(result.number)),
        ("host", _cell(result.host_name or "the dispatcher's own machine")),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows if value)
    page = f"| | |\n|---|---|\n{table}\n"
    if not result.output:
        return page + "\nIt has written nothing.\n"
    fence = "`" * (3 + max((len(run) for run in _runs_of_ticks(result.output)), default=0))
    return f"{page}\nThe last lines of its output:\n\n{fence}text\n{result.output}\n{fence}\n"


def _cell(text: str) -> str:
    """One line of plain text, whatever is in it."""
    plain = " ".join(text.split())[:200]
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|~&" else c for c in plain)


def _runs_of_ticks(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]

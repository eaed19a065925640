"""The result page and the books of artifacts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete

from batchd_api.artifact_books import ArtifactBooks, Result
from batchd_api.db.tables import artifacts, flow_runs
from batchd_api.page_url import page_url
from batchd_api.run_artifacts import RunArtifacts, result_page
from batchd_api.services.durations import spoken
from batchd_api.settings import load_settings
from batchd_flows.orchestrator_records import ArtifactGone, OrchestratorRefused
from tests.ground import NOW, Installation

ENDED = Result(
    job_id=17,
    type_name="render",
    queue_name="night",
    host_name=None,
    exit_code=3,
    reason="exit code 3",
    seconds=725,
    usual_seconds=600,
    number=2,
    output="the end",
    percent=None,
    progress_id=None,
)


class Writer:
    """Artifacts in memory."""

    def __init__(self) -> None:
        self.shown: dict[UUID, tuple[UUID, float | str]] = {}
        self.refuses = False

    async def create_progress(self, run_id: UUID, percent: float, text: str) -> UUID:
        return await self.create_result(run_id, str(percent))

    async def update_progress(self, artifact_id: UUID, percent: float, text: str) -> None:
        if artifact_id not in self.shown:
            raise ArtifactGone(artifact_id)
        self.shown[artifact_id] = (self.shown[artifact_id][0], str(percent))

    async def create_result(self, run_id: UUID, markdown: str) -> UUID:
        if self.refuses:
            raise OrchestratorRefused(422, "no")
        made = uuid4()
        self.shown[made] = (run_id, markdown)
        return made

    async def delete(self, artifact_id: UUID) -> None:
        self.shown.pop(artifact_id, None)


class Scene:
    def __init__(self, here: Installation) -> None:
        self.here = here
        self.writer = Writer()
        self.books = ArtifactBooks(here.database)
        self.made = RunArtifacts(self.books, self.writer, page_url="http://x", clock=lambda: NOW)

    def run(self, **attempt: object) -> tuple[int, str]:
        job_id, run_id = self.here.enqueue(), str(uuid4())
        self.here.attempt(job_id, **attempt)  # type: ignore[arg-type]
        self.here.flow_run(job_id, run_id)
        return job_id, run_id

    async def show(self) -> list[float | str]:
        self.made._progress_at = self.made._sweep_at = 0
        while await self.made.step(is_idle=True):
            pass
        return [data for _, data in self.writer.shown.values()]


@pytest.fixture
def scene(here: Installation) -> Scene:
    return Scene(here)


def test_the_result_page_says_how_it_ended_and_what_is_usual() -> None:
    page = result_page(ENDED, "http://batch.example.org")
    assert "[#17](http://batch.example.org/#/job/17)" in page
    assert "| exit code | 3 |" in page
    assert "| took | 12 min 5 s (usually 10 min) |" in page
    assert "```text\nthe end\n```" in page


@given(st.text(), st.text())
def test_nothing_in_a_name_or_in_output_becomes_markup(name: str, output: str) -> None:
    page = result_page(replace(ENDED, type_name=name, output=output), "http://x")
    table, _, rest = page.partition("\n\n")
    assert len([line for line in table.split("\n") if line]) == 9
    if output:
        fence = rest.split("text\n", 1)[0].rsplit("\n", 1)[-1]
        assert set(fence) == {"`"}
        assert fence not in output


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (59.4, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (7200, "2 h"), (190_000, "2 d 4 h")],
)
def test_durations_are_spoken(seconds: float, said: str) -> None:
    assert spoken(seconds) == said


@pytest.mark.anyio
async def test_one_bar_is_updated_in_place_and_made_again_where_it_was_deleted(scene: Scene) -> None:
    job_id, _ = scene.run(progress_percent=10, progress_text="10%")
    assert await scene.show() == ["10.0"]
    assert await scene.show() == ["10.0"]
    scene.here.set_attempt(job_id, progress_percent=20.0)
    assert await scene.show() == ["20.0"]
    scene.writer.shown.clear()
    scene.here.set_attempt(job_id, progress_percent=30.0)
    assert await scene.show() == ["30.0"]
    assert scene.here.count(artifacts) == 1


@pytest.mark.anyio
async def test_a_result_is_shown_once_also_after_a_restart(scene: Scene) -> None:
    _, run_id = scene.run(state="ended", ended_at=NOW - timedelta(minutes=5))
    scene.run(state="ended", ended_at=NOW - timedelta(days=1))  # long ago: nobody looks for it now
    await scene.made.start()
    assert len(await scene.show()) == 1
    scene.made.ended(run_id)
    await scene.made.start()
    assert len(await scene.show()) == 1


@pytest.mark.anyio
async def test_a_refused_artifact_is_left_out_and_holds_nothing_up(scene: Scene) -> None:
    scene.run(state="ended", ended_at=NOW)
    await scene.made.start()
    scene.writer.refuses = True
    assert await scene.show() == []
    scene.writer.refuses = False
    scene.made.ended(scene.run(state="ended", ended_at=NOW)[1])
    assert len(await scene.show()) == 1


@pytest.mark.anyio
async def test_artifacts_go_with_their_run(scene: Scene) -> None:
    _, run_id = scene.run(state="ended", ended_at=NOW)
    scene.made.ended(run_id)
    assert len(await scene.show()) == 1
    await scene.made.remove(run_id)
    assert await scene.show() == []
    assert scene.here.count(artifacts) == 0


@pytest.mark.anyio
async def test_what_stood_beside_a_run_that_is_not_known_any_more_is_swept(scene: Scene) -> None:
    _, run_id = scene.run(state="ended", ended_at=NOW)
    scene.made.ended(run_id)
    assert len(await scene.show()) == 1
    with scene.here.database.write() as connection:
        connection.execute(delete(flow_runs).where(flow_runs.c.id == run_id))
    assert await scene.show() == []


@pytest.mark.parametrize(
    ("lines", "url"),
    [
        ("", "http://127.0.0.1:9681"),
        ("manager: {host: '::1', port: 80}", "http://[::1]:80"),
        ("manager: {url: 'https://batch.example.org/'}", "https://batch.example.org"),
    ],
)
def test_links_lead_to_where_people_open_the_page(tmp_path, lines: str, url: str) -> None:  # type: ignore[no-untyped-def]
    config = tmp_path / "batchd.yaml"
    config.write_text(f"state_directory: {tmp_path}\n{lines}\n")
    assert page_url(load_settings(config, {"HOME": str(tmp_path)}).settings) == url

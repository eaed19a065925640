"""What stands beside a run in Prefect: one progress bar, one result page. Writes are the orchestrator's."""

from __future__ import annotations

from uuid import UUID

from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import ArtifactGone
from batchd_flows.orchestrator_text import storable

MAX_MARKDOWN = 64 * 1024


class Artifacts:
    """They have no key, so that they stand with their run alone and not in the list of all."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator

    async def create_progress(self, run_id: UUID, percent: float, text: str) -> UUID:
        return await self._create("progress", run_id, percent, text)

    async def update_progress(self, artifact_id: UUID, percent: float, text: str) -> None:
        """In place. Raises ArtifactGone."""
        change = ArtifactUpdate(data=percent, description=storable(text))
        async with self._orchestrator.writing(ArtifactGone(artifact_id)):
            await self._orchestrator.client.update_artifact(artifact_id, change)

    async def create_result(self, run_id: UUID, markdown: str) -> UUID:
        return await self._create("markdown", run_id, storable(markdown)[:MAX_MARKDOWN], "How it ended")

    async def delete(self, artifact_id: UUID) -> None:
        """Gone already is fine."""
        try:
            async with self._orchestrator.writing(ArtifactGone(artifact_id)):
                await self._orchestrator.client.delete_artifact(artifact_id)
        except ArtifactGone:
            return

    async def _create(self, kind: str, run_id: UUID, data: float | str, text: str) -> UUID:
        creation = ArtifactCreate(type=kind, data=data, description=storable(text), flow_run_id=run_id)
        async with self._orchestrator.writing():
            return (await self._orchestrator.client.create_artifact(creation)).id

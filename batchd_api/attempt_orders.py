"""What a worker of another work pool is to run: written by the dispatcher that cares for the attempt, read by
whoever shows the attempt's token. Blocking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts
from batchd_api.launches import CannotLaunch, Launches, There
from batchd_api.recorder import Attempt
from batchd_flows.attempt_order import AttemptOrder
from batchd_flows.job_files import JobFiles
from batchd_infra.hosts import Host

ELSEWHERE = (
    "run_as is for jobs on a dispatcher's own machine: a worker of another pool runs them as its own user"
)


@dataclass(frozen=True, kw_only=True)
class AttemptOrders:
    database: Database
    launches: Launches

    def write(self, attempt: Attempt) -> None:
        """Once: what was handed out stays as it was. Raises CannotLaunch."""
        if self.read(attempt.id) is not None:
            return
        pool = attempt.work_pool or ""
        there = There(
            host=Host(name=pool, host_name=pool, controller_id=pool),
            environment={},
            files=JobFiles(values={}),
        )
        launch = self.launches.launch(attempt, there)
        if launch.run_as is not None:
            raise CannotLaunch(ELSEWHERE)
        with self.database.write() as connection:
            mine = update(attempts).where(attempts.c.id == attempt.id, IS_ALIVE)
            connection.execute(mine.values(order=AttemptOrder.of(launch).as_json()))

    def read(self, attempt_id: int) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(attempts.c.order).where(attempts.c.id == attempt_id)).scalar()

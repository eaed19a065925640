"""Places in a queue stay unique whoever gives them at the same time, and no two wait for each other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from batchd_api.db.tables import jobs
from batchd_api.recorder import Recorder
from batchd_api.schemas import JobChange, Priority
from batchd_flows.job_types import OnFail, RetryWhen
from batchd_flows.run import Outcome
from tests.ground import NOW, ROOT

FAILED = Outcome(exit_code=3, ended_at=NOW)
LATER = OnFail(when=RetryWhen.LATER, count=5)
EACH = 8


def test_retries_moves_and_enqueues_at_once_leave_every_place_its_own(everywhere):
    here, recorder = everywhere, Recorder(everywhere.database)
    here.queue("other")
    running = [here.enqueue() for _ in range(EACH)]
    for job in running:
        here.attempt(job, state="running")
        here.set_job(job, status="Processing")
    movable = [here.enqueue("other") for _ in range(EACH)]
    waiting = [here.enqueue() for _ in range(EACH)]

    def move(job: int) -> None:
        here.jobs.change(ROOT, job, JobChange(move_to="default"))

    def hasten(job: int) -> None:
        here.jobs.change(ROOT, job, JobChange(priority=Priority.LAST))

    calls: list[Callable[[], object]] = list(
        chain.from_iterable(
            (
                lambda attempt=attempt: recorder.ended(attempt, FAILED, LATER, NOW),
                lambda job=moved: move(job),
                lambda job=hastened: hasten(job),
                here.enqueue,
            )
            for attempt, moved, hastened in zip(recorder.alive("d"), movable, waiting, strict=True)
        )
    )
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result(60)
    rows = [here.row(job) for job in here.order()]
    assert len({row.seq for row in rows}) == len(rows) == 4 * EACH
    assert {row.status for row in rows} == {"New"}
    assert here.count(jobs, jobs.c.queue_name == "other") == 0

"""An enqueue over HTTP into a queue of five thousand jobs. FAULTS.md: H8."""

import time

import pytest
from sqlalchemy import insert

from batchd_api.db.tables import jobs
from tests.ground import statements

pytestmark = pytest.mark.slow

MANY = 5000
ENQUEUES = 200


def test_h8_an_enqueue_is_as_much_work_with_5000_jobs_in_the_queue_as_with_none(
    here, root, queue, record_property
):
    def enqueue():
        answer = root.post(f"/queue/{queue}", json={"type": "command", "params": {"command": "true"}})
        answer.raise_for_status()
        return answer.json()

    enqueue()
    with statements(here) as of_one:
        first = enqueue()
    row = dict(here.row(first)._mapping)
    more = [row | {"id": 1_000_000 + n, "seq": 1000 + n} for n in range(MANY)]
    with here.database.write() as connection:
        connection.execute(insert(jobs), more)
    seconds = []
    for _ in range(ENQUEUES):
        with statements(here) as of_many:
            began = time.perf_counter()
            enqueue()
            seconds.append(time.perf_counter() - began)
        assert of_many == of_one
    p95 = sorted(seconds)[int(ENQUEUES * 0.95)] * 1000
    record_property("enqueue_p95_ms", round(p95, 1))
    print(f"an enqueue over HTTP, {MANY} jobs in its queue: p95 {p95:.0f} ms")

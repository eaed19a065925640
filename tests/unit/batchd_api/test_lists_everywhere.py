"""Lists, reasons, output and autostart on each kind of database that there is."""

from batchd_api.queries import JobsWanted, OutputWanted
from batchd_api.schemas import ALL_STATUSES, Priority
from batchd_api.schemas import JobChange as Change
from batchd_api.services.autostart import sweep
from batchd_api.services.follow import Follower, Place
from batchd_api.services.outputs import Outputs
from tests.ground import ROOT


def ids(records):
    return [record["id"] for record in records]


def test_pages_follow_the_order_of_the_queue(everywhere):
    first, second, third = (everywhere.enqueue() for _ in range(3))
    everywhere.jobs.change(ROOT, third, Change(priority=Priority.FIRST))
    everywhere.set_job(second, status="Done")
    whole = [third, first, second]
    for limit in (1, 2, 3, None):
        seen, after = [], None
        while page := ids(
            everywhere.jobs.in_queue("default", JobsWanted(statuses=ALL_STATUSES, limit=limit, after=after))
        ):
            seen, after = seen + page, page[-1]
        assert seen == whole
    assert ids(everywhere.jobs.everywhere(JobsWanted(limit=1, after=first))) == [third]


def test_a_place_in_the_queue_counts_the_new_jobs_alone(everywhere):
    everywhere.dispatcher()
    first, second, third = (everywhere.enqueue() for _ in range(3))
    everywhere.set_job(first, status="Done")
    texts = [record["reason"]["text"] for record in everywhere.jobs.in_queue("default", JobsWanted())]
    assert texts == ["1 of 2 in queue default", "2 of 2 in queue default"]
    (page,) = everywhere.jobs.in_queue("default", JobsWanted(limit=1, after=second))
    assert (page["id"], page["reason"]["text"]) == (third, "2 of 2 in queue default")


def test_a_sweep_enables_the_queues_that_are_due_by_their_own_jobs(everywhere):
    for name, count in (("due", 2), ("early", 3), ("never", None)):
        everywhere.queue(name, autostart_job_count=None, enabled=False)
        for _ in range(2):
            everywhere.enqueue(name)
        everywhere.queues.change(ROOT, name, {"autostart_job_count": count})
    with everywhere.database.write() as connection:
        assert sweep(connection) == ["due"]
        assert sweep(connection) == []


def test_output_is_read_and_followed(everywhere):
    job = everywhere.enqueue()
    everywhere.attempt(job, state="ended", stdout=[b"a\xff", b"\x00b"], stderr=[b"oh"])
    everywhere.set_job(job, status="Done")
    outputs = Outputs(everywhere.ground)
    found = outputs.find(job, OutputWanted())
    assert b"".join(outputs.pieces(found, 1, 4)) == b"\xff\x00b"
    place = Place()
    kinds = [event.kind for event in Follower(everywhere.ground).look(job, place)]
    assert kinds == ["output", "output", "output", "status", "end"]

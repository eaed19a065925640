"""Jobs as clients see them."""

from datetime import timedelta

from batchd_api.permissions import Right
from batchd_api.queries import JobsWanted
from batchd_api.schemas import ALL_STATUSES, JobChange, Priority
from batchd_api.statuses import JobStatus
from tests.ground import NOW, ROOT, statements

CREATE = Right.CREATE_JOBS


def test_a_job_that_never_ran_has_no_result(here):
    record = here.jobs.get(here.enqueue())
    assert [record[key] for key in ("result_time", "exit_code", "stdout", "stderr")] == [None] * 4
    assert record["create_time"] == "2026-11-24T12:00:00.000000Z"


def test_a_job_carries_its_latest_execution(here):
    job = here.enqueue()
    here.attempt(job, state="ended", number=1, exit_code=7, stdout=[b"first"])
    here.attempt(job, state="ended", number=2, stdout=[b"a\n", b"b\xff\n"], stderr=[b"oh"])
    record = here.jobs.get(job)
    assert (record["stdout"], record["stderr"], record["exit_code"]) == ("a\nb\ufffd\n", "oh", 0)
    assert record["result_time"] == "2026-11-24T12:00:00.000000Z"


def test_a_running_job_shows_its_output_so_far(here):
    job = here.enqueue()
    here.attempt(job)
    here.write(job, "stdout", b"so far", time=NOW + timedelta(seconds=5))
    record = here.jobs.get(job)
    assert (record["stdout"], record["stderr"], record["exit_code"]) == ("so far", "", None)
    assert record["result_time"] == "2026-11-24T12:00:05.000000Z"


def test_a_record_has_the_tail_of_long_output_from_a_whole_character_on(here):
    job = here.enqueue()
    here.attempt(job, stdout=["ä".encode() * 30_000, "ö".encode() * 30_000, b"!"])
    text = here.jobs.get(job)["stdout"]
    assert 64 * 1024 - 2 <= len(text.encode()) <= 64 * 1024
    assert text.endswith("ö!")
    assert set(text) == {"ä", "ö", "!"}


def test_output_with_an_empty_beginning_of_the_tail_is_read_right(here):
    job = here.enqueue()
    here.attempt(job, stdout=[b"x" * 65_536, b"y" * 65_536, b"z" * 10])
    assert here.jobs.get(job)["stdout"] == "y" * (65_536 - 10) + "z" * 10


def test_a_waiting_or_failed_job_says_why(here):
    job = here.enqueue()
    here.dispatcher()
    here.set_job(job, reason_code="window", reason_text="night opens at 22:00", reason_until=NOW)
    expected = {"code": "window", "text": "night opens at 22:00", "until": "2026-11-24T12:00:00.000000Z"}
    assert here.jobs.get(job)["reason"] == expected
    here.set_job(job, status="Processing")
    assert here.jobs.get(job)["reason"] is None


def test_a_record_names_the_newest_flow_run(here):
    job = here.enqueue()
    assert here.jobs.get(job)["flow_run_id"] is None
    here.flow_run(job, "first", attempt=1)
    here.flow_run(job, "second", attempt=2)
    assert here.jobs.get(job)["flow_run_id"] == "second"


def test_a_list_takes_as_many_statements_for_many_jobs_as_for_one(here):
    for _ in range(30):
        here.attempt(here.enqueue(), stdout=[b"x"])
    with statements(here) as seen:
        found = here.jobs.everywhere(JobsWanted(statuses=ALL_STATUSES))
    assert [record["stdout"] for record in found] == ["x"] * 30
    assert len([one for one in seen if one.startswith("SELECT")]) <= 5


def test_the_lists_have_their_orders_and_statuses(here):
    first, second, third = (here.enqueue() for _ in range(3))
    here.jobs.change(ROOT, third, JobChange(priority=Priority.FIRST))
    here.set_job(second, status="Done")
    in_queue = here.jobs.in_queue("default", JobsWanted(statuses=ALL_STATUSES))
    assert [record["id"] for record in in_queue] == [third, first, second]
    assert [record["id"] for record in here.jobs.everywhere(JobsWanted(statuses=ALL_STATUSES))] == [
        first,
        second,
        third,
    ]
    assert [record["id"] for record in here.jobs.everywhere(JobsWanted(statuses=(JobStatus.DONE,)))] == [
        second
    ]

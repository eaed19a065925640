"""What is due to be shown, and the notes of what was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from batchd_api.books import LOOK_AHEAD, Books
from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, flow_runs, jobs
from batchd_api.queries import JobsWanted
from batchd_api.reconcile import FINAL, RunView, Shown
from batchd_api.recorder import Recorder
from batchd_api.retention import Retention, living_folders
from batchd_api.schemas import ALL_STATUSES
from batchd_api.world import WorldStore
from tests.ground import NOW, ROOT, Installation


@pytest.fixture
def books(here: Installation) -> Books:
    return Books(here.database)


def status(here: Installation, value: str, **fields: Any) -> int:
    job_id = here.enqueue()
    here.set_job(job_id, status=value, **fields)
    return job_id


def shown(here: Installation, *job_ids: int) -> None:
    """As if the mirror had shown them."""
    with here.database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id.in_(job_ids)).values(mirrored=jobs.c.version))


def many(here: Installation, count: int, **values: Any) -> list[int]:
    row = {"queue_name": "default", "type_name": "command", "user_name": "root", "params": {}}
    row |= {"create_time": NOW, "status": "New", **values}
    with here.database.write() as connection:
        connection.execute(insert(jobs), [row | {"seq": n} for n in range(count)])
    return here.order(row["queue_name"])


def run(run_id: str, attempt: int = 1, **fields: Any) -> RunView:
    named = {"id": run_id, "attempt": attempt, "number": 1, "queue_name": "default", "shown": "InQueue"}
    return RunView(**(named | fields))


def rows(here: Installation, query: Any) -> list[Any]:
    with here.database.read() as connection:
        return list(connection.execute(query))


# --- due ---


def test_ends_come_first_then_what_runs_then_what_waits(here, books):
    waiting, running, ended = here.enqueue(), status(here, "Processing"), status(here, "Failed")
    taken = status(here, "Waiting")
    assert books.due(20) == [ended, running, taken, waiting]
    shown(here, ended)
    assert books.due(20) == [running, taken, waiting]
    shown(here, running, taken)
    assert books.due(20) == [waiting]
    shown(here, waiting)
    assert books.due(20) == []


def test_what_waits_can_be_left_until_nothing_else_is_due(here, books):
    waiting, running, ended = here.enqueue(), status(here, "Processing"), status(here, "Failed")
    assert books.due(20, urgent_first=True) == [ended, running]
    assert books.due(20, {ended, running}, urgent_first=True) == [waiting]
    shown(here, ended, running)
    assert books.due(20, urgent_first=True) == [waiting]


def test_what_cannot_be_shown_now_hides_nothing_behind_it(here, books):
    waiting, running, ended = here.enqueue(), status(here, "Processing"), status(here, "Failed")
    assert books.due(20, {ended}) == [running, waiting]
    assert books.due(20, {ended, running}) == [waiting]
    assert books.due(20, {ended, running, waiting}) == []


def test_no_more_are_due_at_once_than_asked_for(here, books):
    ids = many(here, 5)
    assert books.due(2) == ids[:2]
    assert books.due(2, {ids[0]}) == ids[1:3]
    ends = many(here, 3, status="Done", queue_name=here.queue("other"))
    assert books.due(2, {ends[0]}) == ends[1:]


def test_waiting_jobs_are_due_in_their_order_of_seq_and_queues_in_turn(here, books):
    first, second = here.enqueue(), here.enqueue()
    here.queue("b")
    other = here.enqueue("b")
    here.set_job(first, seq=99)
    assert books.due(20) == [other, second, first]


def test_only_the_first_of_a_queue_are_shown_and_the_rest_follow_as_it_moves(here, books):
    ids = many(here, LOOK_AHEAD + 2)
    due = books.due(1000)
    assert due == ids[:LOOK_AHEAD]
    shown(here, *due)
    assert books.due(1000) == []
    here.set_job(ids[0], status="Done", mirrored=jobs.c.version)
    assert books.due(1000) == [ids[LOOK_AHEAD]]


def test_postponed_jobs_stand_in_the_same_line(here, books):
    ids = many(here, LOOK_AHEAD + 1)
    assert Books(here.database, ahead=2).due(1000) == ids[:2]
    here.set_job(ids[1], status="Postponed")
    assert books.due(1000) == ids[:LOOK_AHEAD]


def test_a_change_after_the_look_stays_due(here, books):
    job_id = here.enqueue()
    entry = books.entry(job_id)
    here.set_job(job_id, version=entry.version + 1)
    books.note_mirrored(job_id, entry.version)
    assert books.due(20) == [job_id]
    books.note_mirrored(job_id, entry.version + 1)
    assert books.due(20) == []


@pytest.mark.parametrize("note", ["note_shown", "note_removed"])
def test_what_is_shown_and_that_it_is_all_are_noted_together(here, books, note):
    job_id = here.enqueue()
    entry = books.entry(job_id)
    arguments = ("one", "COMPLETED") if note == "note_shown" else ("one",)
    getattr(books, note)(*arguments)
    assert books.due(20) == [job_id]
    getattr(books, note)(*arguments, (job_id, entry.version))
    assert books.due(20) == []


def test_what_many_runs_show_is_noted_together(here, books):
    jobs_there = [here.enqueue() for _ in range(3)]
    for job_id in jobs_there:
        books.note_created(run(f"run{job_id}"), job_id, "#1 command")
    one, other, third = jobs_there
    shown_now = {f"run{one}": Shown.COMPLETED, f"run{other}": Shown.RUNNING}
    books.note_all_shown(shown_now, [(one, books.entry(one).version)])
    assert [books.entry(job_id).runs[0].shown for job_id in jobs_there] == ["COMPLETED", "RUNNING", "InQueue"]
    assert books.due(20) == [other, third]


# --- entries ---


def test_an_entry_holds_the_row_its_attempts_and_its_runs_in_order(here, books):
    job_id = here.enqueue(params={"command": "true"})
    here.attempt(job_id, state="ended")
    here.attempt(job_id, number=2)
    here.set_job(job_id, status="Processing")
    for view in (run("later", 2), run("second", number=2), run("first")):
        books.note_created(view, job_id, "#1 command")
    entry = books.entry(job_id)
    assert (entry.row.status, entry.row.attempt, entry.params) == ("Processing", 2, {"command": "true"})
    assert [(attempt.number, attempt.state) for attempt in entry.row.attempts] == [
        (1, "ended"),
        (2, "running"),
    ]
    assert [view.id for view in entry.runs] == ["first", "second", "later"]
    assert entry.row.is_alive(2)
    assert not entry.row.is_alive(1)


def test_entries_are_in_the_order_asked_for_each_with_what_is_its_own(here, books):
    one, other, gone = (here.enqueue() for _ in range(3))
    here.attempt(other, state="ended")
    here.attempt(one)
    books.note_created(run("others"), other, "#2 command")
    here.jobs.delete(ROOT, gone)
    entries = books.entries([other, gone, one])
    assert entries == [books.entry(other), books.entry(one)]
    assert [[view.id for view in entry.runs] for entry in entries] == [["others"], []]
    assert [[attempt.state for attempt in entry.row.attempts] for entry in entries] == [
        ["ended"],
        ["running"],
    ]


def test_a_deleted_job_has_no_entry(here, books):
    job_id = here.enqueue()
    here.jobs.delete(ROOT, job_id)
    assert books.entry(job_id) is None


def test_every_row_names_the_same_installation(here, books):
    assert len(books.installation_id()) == 32
    assert books.installation_id() == Books(here.database).installation_id()


def test_queues_are_what_their_pools_show(here, books):
    here.queue("night", title="Night", max_jobs=3)
    (entry,) = [queue for queue in books.queues() if queue.name == "night"]
    assert (entry.title, entry.max_jobs, entry.enabled) == ("Night", 3, True)


# --- notes ---


def test_a_run_is_noted_once_however_often_it_is_created(here, books):
    job_id = here.enqueue()
    books.note_created(run("one"), job_id, "#1")
    books.note_created(run("one"), job_id, "#1")
    assert books.entry(job_id).runs == [run("one")]
    books.note_shown("one", "PENDING")
    assert books.entry(job_id).runs[0].shown == "PENDING"
    books.note_removed("one")
    assert books.entry(job_id).runs == []


def test_a_run_made_for_a_job_that_was_deleted_meanwhile_is_removed(here, books):
    job_id = here.enqueue()
    here.jobs.delete(ROOT, job_id)
    books.note_created(run("late"), job_id, "#1")
    assert books.gone(20) == ["late"]


def test_the_runs_of_a_deleted_job_wait_until_its_tree_has_ended(here, books):
    job_id, recorder = here.enqueue(), Recorder(here.database)
    books.note_created(run("one"), job_id, "#1")
    here.attempt(job_id)
    here.jobs.delete(ROOT, job_id)
    assert books.gone(20) == []
    (attempt,) = recorder.alive("d")
    recorder.give_back(attempt)  # cancelled: stays
    assert books.gone(20) == []
    with here.database.write() as connection:
        connection.execute(attempts.delete())
    assert books.gone(20) == ["one"]
    books.note_removed("one")
    assert books.gone(20) == []


# --- output for the log ---


def test_the_backlog_is_what_the_log_lacks_in_order(here, books):
    job_id = here.enqueue()
    here.attempt(job_id, stdout=[b"a", b"b"], stderr=[b"!"])
    (attempt_id,) = books.unlogged()
    assert books.backlog(attempt_id, 10, 100) is None  # there is no run yet
    books.note_created(run("one"), job_id, "#1")
    backlog = books.backlog(attempt_id, 2, 100)
    assert (backlog.run_id, [data for *_, data in backlog.rows]) == ("one", [b"a", b"b"])
    books.note_logged(attempt_id, backlog.rows[-1][0], 2)
    rest = books.backlog(attempt_id, 10, 100)
    assert ([data for *_, data in rest.rows], rest.logged_bytes) == ([b"!"], 2)
    books.note_logged(attempt_id, rest.rows[-1][0], 3)
    assert books.backlog(attempt_id, 10, 100) is None
    assert books.unlogged() == []


def test_the_log_goes_to_the_newest_run_of_the_attempt(here, books):
    job_id = here.enqueue()
    here.attempt(job_id, stdout=[b"a"])
    books.note_created(run("old"), job_id, "#1")
    books.note_created(run("new", number=2), job_id, "#1")
    (attempt_id,) = books.unlogged()
    assert books.backlog(attempt_id, 10, 100).run_id == "new"


def test_the_output_of_a_deleted_job_is_logged_nowhere(here, books):
    job_id = here.enqueue()
    here.attempt(job_id, stdout=[b"a"])
    books.note_created(run("one"), job_id, "#1")
    (attempt_id,) = books.unlogged()
    here.jobs.delete(ROOT, job_id)
    assert books.backlog(attempt_id, 10, 100) is None


# --- cost ---


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """How SQLite means to answer each query that is asked meanwhile."""
    asked: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    steps: list[str] = []
    event.listen(database.engine, "before_cursor_execute", remember)
    try:
        yield steps
    finally:
        event.remove(database.engine, "before_cursor_execute", remember)
    with database.read() as connection:
        for statement, parameters in asked:
            explained = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)
            steps += [row[-1] for row in explained]


SMALL = ("queues", "dispatchers", "schedules", "installation", "hosts", "constant row")


@pytest.mark.sqlite_only(reason="it reads plans of SQLite's")
def test_what_is_asked_again_and_again_never_walks_through_a_whole_table(here, books):
    recorder = Recorder(here.database)
    world = WorldStore(here.database, here.ground.job_types, {}, here.ground.zone)
    job_id = here.enqueue()
    with plans(here.database) as steps:
        books.due(20)
        books.gone(20)
        books.live_runs()
        books.going()
        books.queues()
        books.entry(job_id)
        books.backlog(1, 10, 100)
        recorder.alive("d")
        recorder.fresh(1)
        world.look(NOW, prefect_down=None)
        Retention(here.database, 2).sweep(NOW)
        living_folders(here.database)
        here.jobs.in_queue("default", JobsWanted(statuses=ALL_STATUSES, limit=50, backwards=True))
    walks = [step for step in steps if step.startswith("SCAN") and step.split()[1] not in SMALL]
    # These indexes have in them only what lives or is to go.
    assert set(walks) <= {
        "SCAN attempts USING INDEX ix_attempts_alive",
        "SCAN flow_runs USING INDEX ix_flow_runs_gone",
        "SCAN flow_runs USING INDEX ix_flow_runs_live",
    }
    assert [step for step in steps if "ix_jobs_ended" in step]
    assert [step for step in steps if "ix_jobs_queue_name_seq" in step]


def test_what_lives_is_what_has_no_final_state(here, books):
    for number, shown in enumerate([*Shown, "WaitingForWindow"]):
        here.flow_run(1, shown, attempt=number)
        books.note_shown(shown, shown)
    assert set(books.live_runs()) == {*Shown, "WaitingForWindow"} - FINAL


@pytest.mark.sqlite_only(reason="it counts what SQLite is asked")
def test_a_step_with_nothing_to_do_asks_little(here, books):
    with plans(here.database) as steps:
        books.due(20)
        books.gone(20)
    assert 0 < len(steps) <= 12


def test_runs_in_the_books_are_the_jobs_own(here, books):
    job_id = here.enqueue()
    books.note_created(run("one"), job_id, "#1 command")
    (row,) = rows(here, select(flow_runs))
    assert (row.job_id, row.name, row.gone) == (job_id, "#1 command", False)

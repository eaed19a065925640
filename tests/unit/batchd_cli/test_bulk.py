"""`batch cancel`, `retry`, `hold`, `release`, and several jobs at once."""

import json
from typing import Any

import pytest

from .conftest import JOB, QUEUE, Batch, Manager
from .test_main import on_a_terminal


def _job(number: int, status: str = "New", **fields: object) -> dict[str, Any]:
    return JOB | {"id": number, "status": status} | fields


def _changes(manager: Manager) -> list[tuple[str, str, Any]]:
    return [one for one in manager.asked() if one[0] != "GET"]


@pytest.fixture
def jobs(manager: Manager) -> Manager:
    """Jobs 1–9: the odd ones New, the even ones Failed; any change is taken."""
    found = [_job(number, "New" if number % 2 else "Failed") for number in range(1, 10)]
    for one in found:
        number = one["id"]
        manager.answer("GET", f"/job/{number}", one)
        manager.answer("PUT", f"/job/{number}", "done")
        manager.answer("DELETE", f"/job/{number}", "done")
        manager.answer("POST", f"/job/{number}/cancel", "done")
    for first, last in ((3, 7), (1, 9), (8, 9)):
        manager.answer("GET", f"/jobs?status=all&after={first - 1}&limit={last - first + 1}", found)
    for status in ("new", "waiting", "processing", "postponed", "failed"):
        own = [one for one in found if one["status"].lower() == status]
        manager.answer("GET", f"/jobs?status={status}&user=anna", own)
        manager.answer("GET", f"/queue/night/jobs?status={status}", own)
    return manager


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("cancel 1", ("POST", "/job/1/cancel", None)),
        ("hold 1", ("PUT", "/job/1", {"status": "Postponed"})),
        ("retry 2", ("PUT", "/job/2", {"status": "New"})),
    ],
)
def test_a_verb_is_one_change(line: str, change: object, batch: Batch, jobs: Manager) -> None:
    done = batch(*line.split())
    assert (done.code, done.out, done.err) == (0, "", "")
    assert _changes(jobs) == [change]


def test_release_is_for_jobs_that_are_held(batch: Batch, jobs: Manager) -> None:
    done = batch("release", "2")
    assert (done.code, _changes(jobs)) == (1, [])
    assert "job 2 is Failed, and release is for jobs that are Postponed" in done.err
    jobs.answer("GET", "/job/2", _job(2, "Postponed"))
    assert batch("release", "2").code == 0
    assert _changes(jobs) == [("PUT", "/job/2", {"status": "New"})]


def test_ids_and_ranges_are_each_job_once(batch: Batch, jobs: Manager) -> None:
    assert batch("cancel", "7", "8-9", "9", "-y", "--json").code == 1
    assert [path for _, path, _ in _changes(jobs)] == ["/job/7/cancel", "/job/9/cancel"]


def test_one_refusal_does_not_stop_the_rest(batch: Batch, jobs: Manager) -> None:
    jobs.answer("POST", "/job/3/cancel", "You may not.", 403)
    done = batch("cancel", "1", "3", "5", "--json")
    assert done.code == 4
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"id": 1, "result": "done"},
        {"id": 3, "error": "You may not."},
        {"id": 5, "result": "done"},
    ]
    assert "Error: job 3: You may not.\nError: 1 of 3 jobs could not be changed\n" in done.err


def test_filters_mean_the_statuses_of_the_verb(batch: Batch, jobs: Manager) -> None:
    assert batch("retry", "--user", "anna").code == 0
    assert [path for _, path, _ in _changes(jobs)] == ["/job/2", "/job/4", "/job/6", "/job/8"]


def test_since_goes_to_the_manager_and_is_looked_at_here_too(batch: Batch, jobs: Manager) -> None:
    path = "/queue/night/jobs?status=failed&since=2026-11-24T11%3A00%3A00.000000Z"
    later = "2026-11-24T12:00:00.000000Z"
    jobs.answer("GET", path, [_job(2, "Failed"), _job(4, "Failed", create_time=later)])
    assert batch("retry", "-q", "night", "--since", "2026-11-24 12:00").code == 0
    assert [path for _, path, _ in _changes(jobs)] == ["/job/4"]


def test_last_is_ones_own_newest_job_looked_for_among_the_recent_ones_first(
    batch: Batch, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"create_time": "2020-01-01T00:00:00.000000Z"}
    everything = [_job(4, **old), _job(9, **old), _job(12, user_name="bob")]
    answered = manager.next_answer

    def any_query(key: tuple[str, str]) -> tuple[int, str | bytes]:
        return (200, json.dumps(everything)) if key[1].startswith("/jobs?") else answered(key)

    monkeypatch.setattr(manager, "next_answer", any_query)
    manager.answer("GET", "/job/9", _job(9))
    manager.answer("POST", "/job/9/cancel", "done")
    assert batch("cancel", "last").code == 0
    assert _changes(manager) == [("POST", "/job/9/cancel", None)]
    first, second = (path for _, path, _ in manager.asked()[:2])
    assert first.startswith("/jobs?status=all&user=anna&since=")
    assert second == "/jobs?status=all&user=anna"


def test_who_may_not_list_all_jobs_gets_those_of_their_queues(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/jobs?status=failed&user=anna", "You may not.", 403)
    manager.answer("GET", "/queue", [QUEUE, QUEUE | {"name": "day"}])
    manager.answer("GET", "/queue/night/jobs?status=failed&user=anna", [_job(2, "Failed")])
    manager.answer("GET", "/queue/day/jobs?status=failed&user=anna", "You may not.", 403)
    manager.answer("PUT", "/job/2", "done")
    assert batch("retry", "--user", "anna").code == 0
    assert [path for _, path, _ in _changes(manager)] == ["/job/2"]


def test_more_than_a_few_need_a_yes_in_a_pipe(batch: Batch, jobs: Manager) -> None:
    done = batch("job", "1-9", "-d")
    assert (done.code, _changes(jobs)) == (3, [])
    assert "this would delete 9 jobs" in done.err
    assert "--yes" in done.err
    assert batch("job", "1-9", "-d", "--yes").code == 0
    assert len(_changes(jobs)) == 9


@pytest.mark.parametrize(("typed", "code", "count"), [("y", 0, 9), ("n", 3, 0)])
def test_on_a_terminal_more_than_a_few_are_asked_about(
    typed: str, code: int, count: int, jobs: Manager, home: object
) -> None:
    ended, shown = on_a_terminal("job", "1-9", "-d", typed=[typed], BATCH_MANAGER_URL=jobs.url)
    assert "Delete 9 jobs?" in shown
    assert (ended, len(_changes(jobs))) == (code, count)


@pytest.mark.parametrize("line", ["cancel --queue night", "job 3-7 -p first", "job 3-7 -d", "hold 1 3"])
def test_a_dry_run_shows_the_jobs_and_changes_nothing(line: str, batch: Batch, jobs: Manager) -> None:
    done = batch(*line.split(), "--dry-run")
    assert done.code == 0
    assert done.out.startswith("ID  QUEUE")
    assert _changes(jobs) == []
    assert json.loads(batch(*line.split(), "--dry-run", "--json").out)[0]["queue"] == "night"


def test_several_to_the_front_keep_their_order(batch: Batch, jobs: Manager) -> None:
    assert batch("job", "1", "3", "5", "-p", "first").code == 0
    assert [path for _, path, _ in _changes(jobs)] == ["/job/5", "/job/3", "/job/1"]


def test_filters_select_for_job_too(batch: Batch, jobs: Manager) -> None:
    assert batch("job", "--queue", "night", "--only-status", "failed", "-n", "looked at").code == 0
    assert [body for _, _, body in _changes(jobs)] == [{"notes": "looked at"}] * 4


def test_nothing_that_fits_is_not_found(batch: Batch, jobs: Manager) -> None:
    assert batch("release", "--queue", "night").code == 5
    jobs.answer("GET", "/jobs?status=all&after=99&limit=3", [])
    assert batch("cancel", "100-102").code == 5


@pytest.mark.parametrize(
    "line", ["cancel", "cancel x", "cancel 7-3", "retry --status new", "job -d", "cancel 1-"]
)
def test_what_names_no_jobs_is_a_usage_error(line: str, batch: Batch, manager: Manager) -> None:
    assert batch(*line.split()).code == 2
    assert manager.requests == []

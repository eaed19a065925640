"""`batch ls`."""

import pytest

from .conftest import JOB, Batch, Manager

CLOSED = {"code": "window", "text": "closed", "until": None}


def test_a_queues_jobs_are_a_table(batch: Batch, manager: Manager) -> None:
    manager.answer(
        "GET",
        "/queue/night/jobs",
        [
            JOB | {"params": {"command": "a b"}, "reason": CLOSED},
            JOB | {"id": 9, "notes": "a\nb", "params": {}},
        ],
    )
    assert batch("ls", "night").out == (
        "ID  SEQ  TYPE     STATUS  REASON  USER  CREATED              START  HOST  NOTES  PARAMETERS\n"
        "17  3    command  New     closed  anna  2026-11-24 04:01:43                      command=a b\n"
        "9   3    command  New             anna  2026-11-24 04:01:43               a\\nb\n"
    )


def test_a_running_job_says_how_far_it_is_and_when_it_may_end(batch: Batch, manager: Manager) -> None:
    progress = {"percent": 44.6, "text": "frame 4 of 9", "eta": "2026-11-24T04:00:00.000000Z"}
    known = {"status": "Processing", "expected_end": "2026-11-24T04:00:00.000000Z"}
    manager.answer(
        "GET",
        "/queue/night/jobs",
        [JOB | known | {"progress": progress}, JOB | known, JOB | {"status": "Processing"}],
    )
    rows = [line.split() for line in batch("ls", "night").out.splitlines()[1:]]
    assert " ".join(rows[0]).startswith("17 3 command Processing 45 %, ends about 2026-")
    assert " ".join(rows[1]).startswith("17 3 command Processing ends about 2026-")
    assert rows[2][4] == "anna"


def test_several_queues_are_one_table_that_names_them(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/queue/night/jobs", [JOB])
    manager.answer("GET", "/queue/a%20b/jobs", [JOB | {"queue": "a b"}])
    lines = batch("ls", "night", "a b").out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["ID", "QUEUE", "SEQ"],
        ["17", "night", "3"],
        ["17", "a", "b"],
    ]


@pytest.mark.parametrize(
    ("options", "query"),
    [
        (["-s", "FAILED"], "?status=failed"),
        (["--status", "Done"], "?status=done"),
        (["-s", "all"], "?status=all"),
        (["-a"], "?status=all"),
        (["--all"], "?status=all"),
        ([], ""),
    ],
)
def test_a_status_in_either_case_selects(
    options: list[str], query: str, batch: Batch, manager: Manager
) -> None:
    manager.answer("GET", f"/queue/night/jobs{query}", [])
    assert batch("ls", *options, "night").code == 0
    assert manager.asked() == [("GET", f"/queue/night/jobs{query}", None)]


@pytest.mark.parametrize("line", ["-a", "-s new", "-a -s new night"])
def test_what_says_nothing_is_a_usage_error(line: str, batch: Batch) -> None:
    assert batch("ls", *line.split()).code == 2

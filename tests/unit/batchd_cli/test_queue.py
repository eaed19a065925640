"""`batch queue`."""

import pytest

from .conftest import QUEUE, Batch, Manager


def test_it_shows_the_queue(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/queue/night", QUEUE | {"autostart_job_count": 3})
    assert batch("queue", "night").out == (
        "Name:      night\nTitle:     Long nights\nEnabled:   yes\nSchedule:  nightly\nAutostart: 3\n"
    )


def test_a_new_queue_needs_only_its_name(batch: Batch, manager: Manager) -> None:
    manager.answer("POST", "/queue", "night")
    assert batch("queue", "night", "-a").code == 0
    line = "--add -s nightly -h blade -n Nights -D --autostart 5"
    assert batch("queue", "night", *line.split()).code == 0
    assert [body for _, _, body in manager.asked()] == [
        {"name": "night"},
        {
            "name": "night",
            "schedule_name": "nightly",
            "host_name": "blade",
            "title": "Nights",
            "enabled": False,
            "autostart_job_count": 5,
        },
    ]


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("-u -s nightly", {"schedule_name": "nightly"}),
        ("--schedule nightly", {"schedule_name": "nightly"}),
        ("-h *", {"host_name": "*"}),
        ("--name T", {"title": "T"}),
        ("-e", {"enabled": True}),
        ("--disable", {"enabled": False}),
        ("--autostart 5", {"autostart_job_count": 5}),
        ("--autostart no", {"autostart_job_count": None}),
        ("--autostart disable", {"autostart_job_count": None}),
        ("--autostart False", {"autostart_job_count": None}),
    ],
)
def test_an_option_that_changes_something_changes_it(
    line: str, body: object, batch: Batch, manager: Manager
) -> None:
    manager.answer("PUT", "/queue/night", "done")
    assert batch("queue", "night", *line.split()).code == 0
    assert manager.asked() == [("PUT", "/queue/night", body)]


def test_a_queue_with_jobs_is_deleted_only_with_force(batch: Batch, manager: Manager) -> None:
    manager.answer("DELETE", "/queue/night", "The queue night has jobs; use ?forced=true.", 403)
    manager.answer("DELETE", "/queue/night?forced=true", "done")
    refused = batch("queue", "night", "-d")
    assert (refused.code, refused.out) == (3, "")
    assert "-f deletes it" in refused.err
    assert batch("queue", "night", "-d", "-f").code == 0


def test_not_permitted_is_another_code_than_not_forced(batch: Batch, manager: Manager) -> None:
    manager.answer("DELETE", "/queue/night", "You may not manage the queue night.", 403)
    assert batch("queue", "night", "-d").code == 4


@pytest.mark.parametrize("line", ["-u", "-e -D", "-a -d", "-d -e", "--autostart many", "--autostart 0"])
def test_what_does_not_go_together_is_a_usage_error(line: str, batch: Batch, manager: Manager) -> None:
    assert batch("queue", "night", *line.split()).code == 2
    assert manager.asked() == []

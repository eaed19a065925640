"""The form of a new job: made from its type, showing what would run, offering what one may do."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from batchd_api.db.tables import jobs
from batchd_api.permissions import Grant, Right
from batchd_api.services.users import grant

pytestmark = pytest.mark.slow


def test_the_form_is_made_from_the_type_and_shows_what_would_run(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/enqueue/day")
    tab.page.get_by_label("Job type").select_option("render")
    expect(tab.page.get_by_label("frames")).to_have_attribute("placeholder", "1")
    tab.page.get_by_label("input").fill("/films/a b.blend")
    preview = tab.page.get_by_label("Preview")
    expect(preview).to_contain_text("/films/a b.blend")
    expect(preview).to_contain_text("this machine")
    expect(preview).to_contain_text("as soon as its turn comes")
    assert own.facade.here.count(jobs) == len(own.jobs) + 1
    tab.page.get_by_label("Host").select_option("lab")
    expect(preview).to_contain_text("lab")
    tab.page.get_by_label("Not before").fill("2026-11-24T15:30")
    expect(preview).to_contain_text("15:30")
    tab.page.get_by_label("Notes").fill("first try")
    tab.page.get_by_label("Hold it").check()
    tab.button("Enqueue").click()
    tab.sees("first try", "Held", "not before 15:30")
    job = own.facade.here.row(max(own.facade.here.order("day")))
    assert (job.type_name, job.host_name, job.notes, job.status) == (
        "render",
        "lab",
        "first try",
        "Postponed",
    )
    assert job.params == {"input": "/films/a b.blend"}
    tab.is_clean()


def test_what_cannot_be_is_said_before_and_after_asking_for_it(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/enqueue/night")
    tab.page.get_by_label("Job type").select_option("render")
    tab.page.get_by_label("frames").fill("many")
    expect(tab.page.get_by_label("Preview")).to_contain_text("many")
    tab.button("Enqueue").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("many")
    tab.page.get_by_label("frames").fill("2")
    tab.page.get_by_label("Not before").fill("2026-11-25T12:00")
    expect(tab.page.get_by_label("Preview")).to_contain_text("night")
    tab.button("Enqueue and stay").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("schedule")
    tab.is_clean(refusals=(400,))


def test_only_what_one_may_do_is_offered(tabs, own) -> None:
    own.facade.users.create("joe", "secret")
    with own.facade.here.database.write() as connection:
        grant(connection, "joe", Grant(right=Right.VIEW_QUEUES, queue_name="night"))
        narrow = {"queue_name": "night", "type_name": "render", "host_name": "__default__"}
        grant(connection, "joe", Grant(right=Right.CREATE_JOBS, **narrow))
    tab = tabs(own, "joe")
    tab.open("/#/enqueue/night")
    expect(tab.page.get_by_label("Queue", exact=True).get_by_role("option")).to_have_text(["Night renders"])
    expect(tab.page.get_by_label("Job type").get_by_role("option")).to_have_text(["render"])
    expect(tab.page.get_by_label("Host").get_by_role("option")).to_have_text(["default of the queue or type"])
    tab.page.get_by_label("input").fill("/films/x.blend")
    tab.button("Enqueue and stay").click()
    expect(tab.page.get_by_text(re.compile("Job 11 is enqueued in Night renders"))).to_be_visible()
    tab.is_clean()


def test_one_like_another_job_is_enqueued(tabs, own) -> None:
    tab = tabs(own, "ann")
    tab.open("/#/queue/night/failed")
    tab.act("failed", "Enqueue one like it…")
    expect(tab.page.get_by_label("input")).to_have_value("/films/shot-003.blend")
    tab.page.get_by_label("frames").fill("3")
    tab.button("Enqueue").click()
    tab.sees("/films/shot-003.blend 3")
    tab.is_clean()

"""A dry run: the checks of an enqueue, the command as it would run, and nothing stored."""

import re
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType, SimpleNamespace

import pytest

from batchd_api.db.tables import jobs
from batchd_api.errors import Invalid, NotPermitted, QueueNotFound
from batchd_api.permissions import Right
from batchd_api.schemas import NewJob
from batchd_api.services.dry_runs import preview
from batchd_flows.job_types import JobType, Parameter, ParameterType
from tests.ground import NOW, ROOT, user


def test_a_dry_run_shows_command_host_and_moments_and_stores_nothing(here):
    here.schedule("night", "22:00:00", "06:00:00")
    here.queue("night", schedule_name="night", host_name="farm")
    shown = here.jobs.dry_run(ROOT, "night", NewJob(type="render", params={"input": "a'b; rm"}))
    assert "blender" in shown["command"]
    assert (shown["host"], shown["files"]) == ("farm", [])
    assert shown["window_opens"] == shown["earliest_start"] == "2026-11-24T22:00:00.000000Z"
    assert here.count(jobs) == 0
    later = NewJob(type="render", start_time=NOW + timedelta(hours=12))
    assert here.jobs.dry_run(ROOT, "night", later)["earliest_start"] == "2026-11-25T00:00:00.000000Z"


def test_a_dry_run_is_refused_as_the_enqueue_would_be(here):
    with pytest.raises(Invalid, match="frames"):
        here.jobs.dry_run(ROOT, "default", NewJob(type="render", params={"frames": "x"}))
    with pytest.raises(QueueNotFound):
        here.jobs.dry_run(ROOT, "gone", NewJob(type="render"))
    tied = user(Right.CREATE_JOBS, type_name="command")
    with pytest.raises(NotPermitted):
        here.jobs.dry_run(tied, "default", NewJob(type="render"))


def test_a_template_may_reckon_with_what_is_masked(here):
    ground = replace(here.ground, variables=MappingProxyType({"offset": "4711"}))
    adding = JobType(
        name="adding",
        template=("echo $(( $pin + $offset ))",),
        params=(Parameter(name="pin", type=ParameterType.INTEGER, secret=True),),
    )
    queue = SimpleNamespace(schedule_name="anytime", weekdays=None, time=None)
    shown = preview(ground, adding, {"pin": "1234"}, host=None, queue=queue, new=NewJob(type="adding"))
    assert not {"1234", "4711"} & set(re.findall(r"[0-9]+", shown["command"]))


def test_secrets_are_masked_and_files_are_named(here):
    sealed = JobType(
        name="sealed",
        template=("upload $file $key",),
        params=(
            Parameter(name="file", type=ParameterType.INPUT_FILE),
            Parameter(name="key", secret=True, default="hidden default"),
        ),
    )
    with here.database.read() as connection:
        queue = connection.exec_driver_sql(
            "SELECT 'anytime' AS schedule_name, NULL AS weekdays, NULL AS time"
        ).one()
    for given in ({"file": "/in"}, {"file": "/in", "key": "hidden value"}):
        shown = preview(here.ground, sealed, given, host=None, queue=queue, new=NewJob(type="sealed"))
        assert "hidden" not in str(shown)
        assert shown["files"] == [{"name": "file", "type": "InputFile", "path": "/in"}]

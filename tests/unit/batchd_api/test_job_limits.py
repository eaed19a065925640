"""A job's own limits: in a body, in its record, and before its type's in what the supervisor gets."""

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from batchd_api.errors import Invalid
from batchd_api.job_limits import limits_in
from batchd_api.launches import Launches, LaunchSettings
from batchd_api.recorder import Recorder
from batchd_flows.job_types import COMMAND, JobTypes
from batchd_flows.limits import Limits
from batchd_flows.supervisor import Launch


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        ({}, Limits()),
        ({"timeout": 90, "silence": None}, Limits(timeout_seconds=90)),
        ({"timeout": "2h", "silence": "10 min"}, Limits(timeout_seconds=7200, silence_seconds=600)),
        (
            {"kill_after": 0.5, "output_limit": "500M"},
            Limits(kill_after_seconds=0.5, output_limit_bytes=500 * 2**20),
        ),
        ({"timeout": 0, "output_limit": 0}, Limits(timeout_seconds=0, output_limit_bytes=0)),
    ],
)  # fmt: skip
def test_limits_are_numbers_or_what_people_write(body: dict[str, Any], limits: Limits) -> None:
    assert limits_in(body) == limits


@pytest.mark.parametrize("key", ["timeout", "silence", "kill_after", "output_limit"])
@pytest.mark.parametrize("value", [-1, True, "soon", [], 10**30, float("nan"), float("inf"), "", "-5 s"])
def test_anything_else_is_refused_with_the_name_of_the_field(key: str, value: object) -> None:
    with pytest.raises(Invalid, match=f'^"{key}" must be'):
        limits_in({key: value})


TYPE = replace(COMMAND, timeout_seconds=60, silence_seconds=30, kill_after_seconds=5, output_limit_bytes=1000)


def launch(here, tmp_path, body: dict[str, Any], job_type=TYPE, **settings: Any) -> tuple[Launch, float]:
    """What the supervisor gets for this job, and its grace as a cancel has it."""
    here.attempt(here.enqueue(limits=limits_in(body)), state="taken")
    launches = Launches(
        here.database,
        JobTypes([job_type]),
        LaunchSettings(zone=ZoneInfo("UTC"), attempts_folder=tmp_path, variables={}, default_syntax="Shell",
                       environment={}, **settings),
    )  # fmt: skip
    attempt = Recorder(here.database).alive("d")[0]
    return launches.launch(attempt), launches.grace_seconds(attempt)


def limits_of(launch: Launch) -> tuple[Any, ...]:
    return (
        launch.timeout_seconds,
        launch.silence_seconds,
        launch.kill_after_seconds,
        launch.output_limit_bytes,
    )


def test_what_the_job_does_not_say_its_type_says(here, tmp_path):
    made, grace = launch(here, tmp_path, {"timeout": 7})
    assert limits_of(made) == (7, 30, 5, 1000)
    assert grace == 5


def test_the_jobs_own_limits_come_first(here, tmp_path):
    body = {"timeout": 1, "silence": 2, "kill_after": 3, "output_limit": 4}
    made, grace = launch(here, tmp_path, body)
    assert limits_of(made) == (1, 2, 3, 4)
    assert grace == 3


def test_zero_takes_a_limit_of_the_type_away_and_kills_at_once(here, tmp_path):
    body = {"timeout": 0, "silence": 0, "kill_after": 0, "output_limit": 0}
    made, grace = launch(here, tmp_path, body, output_limit_bytes=10)
    assert limits_of(made) == (None, None, 0, None)
    assert grace == 0


def test_the_configuration_limits_the_output_of_jobs_that_nobody_else_limits(here, tmp_path):
    made, grace = launch(here, tmp_path, {}, COMMAND, output_limit_bytes=10)
    assert limits_of(made) == (None, None, 10, 10)
    assert grace == 10


def test_a_record_shows_the_jobs_own_limits_in_seconds_and_bytes(here):
    body = {"timeout": "2 min", "output_limit": "1K"}
    shown = here.jobs.get(here.enqueue(limits=limits_in(body)))
    assert {key: shown[key] for key in ("timeout", "silence", "kill_after", "output_limit")} == {
        "timeout": 120, "silence": None, "kill_after": None, "output_limit": 1024,
    }  # fmt: skip
    assert shown["output_cut"] is False


@pytest.mark.parametrize(("free", "kept"), [(4000 * 1024, 1000 * 1024), (10, 64 * 1024), (2**50, 2**30)])
def test_b4_output_leaves_room_on_the_disk_for_the_database(here, tmp_path, free, kept):
    made, _ = launch(here, tmp_path, {}, COMMAND, output_limit_bytes=2**30, free_bytes=lambda: free)
    assert made.output_limit_bytes == kept

"""What is looked at again just before a command would start: its owner's rights (G7), its input files."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, update

from batchd_api.db.tables import permissions, queues
from batchd_api.launches import CannotLaunch, Launches, LaunchSettings, Look, NoLongerPermitted
from batchd_api.permissions import Grant, Right
from batchd_api.recorder import Recorder
from batchd_api.services.users import Users, grant
from batchd_flows.file_parameters import require_inputs
from batchd_flows.job_types import COMMAND, JobType, JobTypes, Parameter, ParameterError, ParameterType
from tests.ground import quick_passwords, user

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def users(here):
    users = Users(here.database, quick_passwords(), here.ground.clock)
    users.create("root", "x", superuser=True)
    users.create("ann", "x")
    return users


def launches(here, tmp_path, **fields):
    settings = LaunchSettings(zone=ZoneInfo("UTC"), attempts_folder=tmp_path, variables={},
                              default_syntax="Shell", environment={}, **fields)  # fmt: skip
    return Launches(here.database, here.ground.job_types, settings)


def look(here, tmp_path, **fields):
    return launches(here, tmp_path, **fields).second_look(Recorder(here.database).alive("d")[0], NOW)


def taken(here, *, by="ann", **fields):
    job = here.enqueue(by=user(Right.CREATE_JOBS, name=by), **fields)
    here.attempt(job, state="taken")


def allow(here, **ties):
    with here.database.write() as connection:
        grant(connection, "ann", Grant(right=Right.CREATE_JOBS, **ties))


def test_g7_who_still_may_create_the_job_sees_it_start(here, users, tmp_path):
    allow(here, queue_name="default", type_name="command", host_name="__default__")
    taken(here)
    assert look(here, tmp_path) is Look.GO


def test_g7_a_right_withdrawn_meanwhile_bars_the_start(here, users, tmp_path):
    allow(here)
    taken(here)
    with here.database.write() as connection:
        connection.execute(delete(permissions).where(permissions.c.user_name == "ann"))
    with pytest.raises(NoLongerPermitted, match=r'^not permitted: .*"ann".*CreateJobs'):
        look(here, tmp_path)
    assert look(here, tmp_path, auth_disabled=True) is Look.GO


@pytest.mark.parametrize("ties", [{"queue_name": "other"}, {"type_name": "render"}, {"host_name": "lab"}])
def test_g7_a_right_for_another_queue_type_or_host_is_none(here, users, tmp_path, ties):
    allow(here, **ties)
    taken(here)
    with pytest.raises(NoLongerPermitted):
        look(here, tmp_path)


def test_g6_the_host_that_counts_is_the_one_it_would_run_on(here, users, tmp_path):
    allow(here, host_name="farm")
    taken(here)
    with pytest.raises(NoLongerPermitted):
        look(here, tmp_path)
    with here.database.write() as connection:
        connection.execute(update(queues).values(host_name="farm"))
    assert look(here, tmp_path) is Look.GO


def test_g7_the_jobs_of_a_deleted_user_do_not_start(here, users, tmp_path):
    taken(here)
    users.delete("ann")
    with pytest.raises(NoLongerPermitted, match="no user"):
        look(here, tmp_path)


def test_g7_a_superusers_jobs_start_and_so_do_those_of_an_installation_without_users(here, tmp_path):
    taken(here, by="root")
    assert look(here, tmp_path) is Look.GO
    Users(here.database, quick_passwords(), here.ground.clock).create("root", "x", superuser=True)
    assert look(here, tmp_path) is Look.GO


SCENE = Parameter(name="scene", type=ParameterType.INPUT_FILE, default="default.blend")
PICTURE = Parameter(name="picture", type=ParameterType.OUTPUT_FILE)


def test_a_missing_input_file_fails_the_start_and_is_named(tmp_path):
    filed = JobType(name="filed", template=("true",), params=(SCENE, PICTURE))
    (tmp_path / "there").mkdir()
    given = {"scene": "there", "picture": "nowhere"}
    require_inputs(filed, given, folder=str(tmp_path))
    require_inputs(filed, {}, folder=str(tmp_path))
    missing = tmp_path / "there" / "later"
    with pytest.raises(ParameterError, match=f"parameter 'scene': the input file {missing} does not exist"):
        require_inputs(filed, given | {"scene": str(missing)}, folder=None)


def test_the_path_of_a_secret_input_is_not_told(tmp_path):
    sealed = JobType(name="sealed", template=("true",), params=(replace(SCENE, secret=True),))
    with pytest.raises(ParameterError) as caught:
        require_inputs(sealed, {"scene": str(tmp_path / "hidden")}, folder=None)
    assert "hidden" not in str(caught.value)


def test_a_job_here_with_a_missing_input_file_does_not_start(here, tmp_path):
    filed = JobType(name="filed", template=("true",), params=(SCENE,))
    here.ground = replace(here.ground, job_types=JobTypes([COMMAND, filed]))
    job = here.enqueue()
    here.set_job(job, type_name="filed", params={"scene": str(tmp_path / "gone")})
    here.attempt(job, state="taken")
    with pytest.raises(CannotLaunch, match=r"'scene': the input file .*gone does not exist"):
        launches(here, tmp_path).launch(Recorder(here.database).alive("d")[0])
    (tmp_path / "gone").touch()
    launches(here, tmp_path).launch(Recorder(here.database).alive("d")[0])

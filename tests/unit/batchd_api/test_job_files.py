"""Files that a job names, judged when it is enqueued, changed and started. FAULTS.md: G8."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from batchd_api.db.tables import queues
from batchd_api.errors import Invalid
from batchd_api.file_access import file_roots
from batchd_api.launches import CannotLaunch, Launches, LaunchSettings
from batchd_api.recorder import Recorder
from batchd_api.schemas import JobChange, NewJob
from batchd_api.services.jobs import Jobs
from batchd_api.settings import load_settings
from batchd_flows.job_types import JobType, JobTypes, Parameter, ParameterType
from batchd_infra.file_roots import FileRoots
from batchd_infra.hosts import Host
from tests.ground import ROOT

COPY = JobType(
    name="copy",
    template=('cp "$from" "$to"',),
    params=(
        Parameter(name="from", type=ParameterType.INPUT_FILE, default="/etc/hostname"),
        Parameter(name="to", type=ParameterType.OUTPUT_FILE),
    ),
)


@pytest.fixture
def data(tmp_path):
    for name in ("data", "elsewhere"):
        (tmp_path / name).mkdir()
    return tmp_path / "data"


@pytest.fixture
def jobs(here, data):
    here.ground = replace(here.ground, job_types=JobTypes([COPY]), file_roots=FileRoots(roots=(data,)))
    return Jobs(here.ground)


def launch(here, tmp_path):
    settings = LaunchSettings(zone=ZoneInfo("UTC"), attempts_folder=tmp_path / "attempts", variables={},
                              default_syntax="Shell", environment={},
                              file_roots=here.ground.file_roots)  # fmt: skip
    attempt = Recorder(here.database).alive("d")[0]
    return Launches(here.database, here.ground.job_types, settings).launch(attempt)


def new(**fields):
    return NewJob(**({"type": "copy"} | fields))


@pytest.mark.parametrize("name", ["from", "to"])
def test_g8_an_enqueue_with_a_file_outside_of_the_roots_is_refused_and_names_it(here, jobs, data, name):
    (data / "link").symlink_to(data.parent / "elsewhere")
    for path in (data.parent / "elsewhere" / "x", data / "link" / "x", data / ".." / "x"):
        for act in (jobs.enqueue, jobs.dry_run):
            with pytest.raises(Invalid, match=f"'{name}'.*file_roots"):
                act(ROOT, "default", new(params={name: str(path)}))
    assert here.order() == []
    assert jobs.enqueue(ROOT, "default", new(params={name: str(data / "not there yet")}))


def test_g8_relative_files_begin_where_the_command_will_run(here, jobs, data):
    inside = new(params={"from": "x"}, working_directory=str(data))
    assert jobs.enqueue(ROOT, "default", inside)
    with pytest.raises(Invalid, match="from"):
        jobs.enqueue(ROOT, "default", new(params={"from": "../x"}, working_directory=str(data)))
    with pytest.raises(Invalid, match="from"):
        jobs.enqueue(ROOT, "default", new(params={"from": "x"}))
    with pytest.raises(Invalid, match="working directory"):
        jobs.enqueue(ROOT, "default", new(working_directory=str(data.parent / "elsewhere")))


def test_g8_files_for_another_machine_are_judged_here_and_its_folders_are_not(here, jobs, data):
    with here.database.write() as connection:
        connection.execute(update(queues).values(host_name="farm"))
    there = new(working_directory="/on/the/farm", params={"from": str(data / "x")})
    assert jobs.enqueue(ROOT, "default", there)
    with pytest.raises(Invalid, match="from"):
        jobs.enqueue(ROOT, "default", new(params={"from": "/on/the/farm"}))


def test_g8_a_change_is_judged_as_an_enqueue(here, jobs, data):
    job = jobs.enqueue(ROOT, "default", new(params={"from": "x"}, working_directory=str(data)))
    for change in (JobChange(params={"to": "/x"}), JobChange(values={"working_directory": "/"})):
        with pytest.raises(Invalid, match="file_roots"):
            jobs.change(ROOT, job, change)
    jobs.change(ROOT, job, JobChange(params={"to": str(data / "y")}))
    assert here.row(job).params == {"to": str(data / "y")}


@pytest.mark.parametrize("name", ["from", "to"])
def test_g8_a_link_that_was_swapped_after_the_enqueue_fails_the_start(here, jobs, data, tmp_path, name):
    (data / "file").touch()
    job = jobs.enqueue(ROOT, "default", new(params={name: str(data / "file")}))
    here.attempt(job, state="taken")
    assert launch(here, tmp_path).script
    (data / "file").unlink()
    (data / "file").symlink_to(data.parent / "elsewhere" / "file")
    with pytest.raises(CannotLaunch, match=f"'{name}'.*file_roots"):
        launch(here, tmp_path)


def test_g8_a_working_directory_that_was_swapped_after_the_enqueue_fails_the_start(
    here, jobs, data, tmp_path
):
    folder = data / "folder"
    folder.mkdir()
    here.attempt(jobs.enqueue(ROOT, "default", new(working_directory=str(folder))), state="taken")
    assert launch(here, tmp_path).working_directory == str(folder)
    folder.rmdir()
    folder.symlink_to(data.parent / "elsewhere")
    with pytest.raises(CannotLaunch, match="file_roots"):
        launch(here, tmp_path)


def test_g8_a_types_own_default_may_lie_anywhere(here, jobs, tmp_path):
    here.attempt(jobs.enqueue(ROOT, "default", new()), state="taken")
    assert "hostname" in str(launch(here, tmp_path))


@pytest.fixture
def own(tmp_path):
    """Roots as an installation with a configuration of its own gets them."""
    config = tmp_path / "project" / "batchd.yaml"
    config.parent.mkdir()
    config.write_text(f"state_directory: {tmp_path / 'state'}\nconnection_string: {tmp_path / 'my.db'}\n")
    environ = MappingProxyType({"HOME": str(tmp_path / "home")})
    farm = Host(name="farm", host_name="farm", controller_id="farm", private_key=str(tmp_path / "keys" / "k"))
    return file_roots(load_settings(config, environ).settings, [farm], config, environ)


@pytest.mark.parametrize(
    "path",
    ["project/batchd.yaml", "project/jobtypes/command.yaml", "project/hosts/x.yaml", "project/controllers/x",
     "state/prefect-auth", "state/prefect/prefect.db", "my.db", "my.db-wal", "home/.ssh/id_ed25519",
     "home/.config/batchd/client.yaml", "home/.config/batchd/jobtypes/x.yaml", "keys/k"],
)  # fmt: skip
def test_g8_by_default_our_own_files_are_refused_and_stay_as_they_are(here, own, tmp_path, path):
    here.ground = replace(here.ground, job_types=JobTypes([COPY]), file_roots=own)
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text() if file.exists() else "secret"
    file.write_text(before)
    for name in ("from", "to"):
        with pytest.raises(Invalid, match=f"'{name}'.*belongs to batchd"):
            Jobs(here.ground).enqueue(ROOT, "default", new(params={name: str(file)}))
    # A row that another program wrote, or that an older version took.
    job = Jobs(here.ground).enqueue(ROOT, "default", new())
    here.set_job(job, params={"to": str(file)})
    here.attempt(job, state="taken")
    with pytest.raises(CannotLaunch, match="belongs to batchd"):
        launch(here, tmp_path)
    assert file.read_text() == before


def test_g8_by_default_all_else_is_allowed_also_beside_the_configuration(here, own, tmp_path):
    here.ground = replace(here.ground, job_types=JobTypes([COPY]), file_roots=own)
    for path in ("project/film.blend", "home/film", "elsewhere"):
        assert Jobs(here.ground).enqueue(ROOT, "default", new(params={"from": str(tmp_path / path)}))

"""Files of jobs on a host, there and back, over a network that fails. FAULTS: D5 G8."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

from batchd_flows.job_types import JobType, OnFail, RetryWhen
from batchd_flows.parameters import Parameter, ParameterType
from batchd_infra.file_roots import FileRoots
from tests.dispatching import Daemon, person, until
from tests.tcp_proxy import CutAfter

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MIB = 1 << 20
SOURCE = Parameter(name="source", type=ParameterType.INPUT_FILE)
TARGET = Parameter(name="target", type=ParameterType.OUTPUT_FILE)
TYPES = (
    JobType(name="copy", template=('echo run >>ran; cat "$source" >"$target"',), params=(SOURCE, TARGET)),
    JobType(
        name="retried copy",
        template=('echo run >>ran; cat "$source" >"$target"',),
        params=(SOURCE, TARGET),
        on_fail=OnFail(when=RetryWhen.NOW, count=3),
    ),
    JobType(name="frames", template=('mkdir -p "${target%/*}"; cd "${target%/*}"; : >f1.png; : >f2.png',),
            params=(TARGET,)),
    JobType(name="old", template=("echo plain >out/result",), params=(TARGET,)),
    JobType(name="tree", template=('cp -r "$source" "$target"',), params=(SOURCE, TARGET)),
)  # fmt: skip


def copy(daemon: Daemon, source: Path, target: Path, type_name: str = "copy") -> int:
    params = {"source": str(source), "target": str(target)}
    return daemon.enqueue("", type=type_name, host_name="box", params=params)


async def test_files_go_there_and_back_and_equal_names_never_meet(build, box, tmp_path):
    daemon = await build(input_directory="in", output_directory="out", checksum=True)
    jobs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text(f"of {name}")
        jobs.append(copy(daemon, tmp_path / name / "same", tmp_path / name / "result"))
    await daemon.all_are("Done", jobs)
    assert [(tmp_path / name / "result").read_text() for name in ("a", "b")] == ["of a", "of b"]
    assert b"batchd: copied" in daemon.output(jobs[0])
    await until(lambda: not any((box.home / "in").iterdir()), "what was there is removed")
    await until(lambda: not any((box.home / "out").iterdir()), "and what came back")


async def test_how_a_copy_went_stands_in_prefect_s_log_of_the_run_too(build, prefect_server, tmp_path):
    daemon = await build()
    (tmp_path / "source").write_text("scene")
    job = copy(daemon, tmp_path / "source", tmp_path / "result")
    await daemon.status(job, "Done")
    (run,) = daemon.runs(job)
    logs = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run.id)]))
    async with person(prefect_server) as client, asyncio.timeout(60):
        said = ""
        while not ("copied" in said and "result from box" in said):
            said = "\n".join(record.message for record in await client.read_logs(logs))
            await asyncio.sleep(0.1)
    assert f"batchd: copied {tmp_path}/source to box: 5 bytes" in said


async def test_what_a_command_writes_straight_into_the_output_directory_is_found_too(build, box, tmp_path):
    (box.home / "out").mkdir(exist_ok=True)
    daemon = await build(output_directory="out", working_directory=str(box.home))
    job = daemon.enqueue("", type="old", host_name="box", params={"target": str(tmp_path / "result")})
    await daemon.status(job, "Done")
    assert (tmp_path / "result").read_text() == "plain\n"


async def test_all_that_matches_a_pattern_comes_back_and_folders_do(build, tmp_path):
    daemon = await build()
    (tmp_path / "here").mkdir()
    frames = daemon.enqueue(
        "", type="frames", host_name="box", params={"target": str(tmp_path / "here" / "f*.png")}
    )
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "leaf").write_text("leaf")
    tree = copy(daemon, tmp_path / "tree", tmp_path / "back", "tree")
    await daemon.all_are("Done", [frames, tree])
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["f1.png", "f2.png"]
    assert (tmp_path / "back" / "inner" / "leaf").read_text() == "leaf"


async def test_d5_a_job_whose_upload_is_cut_is_not_started(build, proxy, box, tmp_path):
    (box.home / "ran").unlink(missing_ok=True)
    daemon = await build()
    await daemon.status(daemon.enqueue("true", host_name="box"), "Done")
    (tmp_path / "big").write_bytes(os.urandom(4 * MIB))
    proxy.mode = CutAfter(MIB, "up")
    job = copy(daemon, tmp_path / "big", tmp_path / "result")
    row = await daemon.status(job, "Failed")
    assert row.reason_text.startswith(f"input transfer: {tmp_path / 'big'}")
    assert not (box.home / "ran").exists()


async def test_d5_a_download_that_is_cut_is_tried_again_alone(build, proxy, box, tmp_path):
    (box.home / "ran").unlink(missing_ok=True)
    daemon = await build()
    await daemon.status(daemon.enqueue("true", host_name="box"), "Done")
    (tmp_path / "big").write_bytes(os.urandom(4 * MIB))
    proxy.mode = CutAfter(MIB, "down", times=1)
    job = copy(daemon, tmp_path / "big", tmp_path / "result", "retried copy")
    await daemon.status(job, "Done")
    assert (tmp_path / "result").read_bytes() == (tmp_path / "big").read_bytes()
    assert (box.home / "ran").read_text() == "run\n"
    assert b"tried again" in daemon.output(job)


async def test_d5_a_download_that_never_comes_through_fails_the_job_and_runs_nothing_again(
    build, proxy, box, tmp_path
):
    (box.home / "ran").unlink(missing_ok=True)
    daemon = await build()
    await daemon.status(daemon.enqueue("true", host_name="box"), "Done")
    (tmp_path / "big").write_bytes(os.urandom(4 * MIB))
    proxy.mode = CutAfter(MIB, "down")
    job = copy(daemon, tmp_path / "big", tmp_path / "result", "retried copy")
    row = await daemon.status(job, "Failed")
    (attempt,) = daemon.attempts(job)
    assert attempt.exit_code == 0
    assert row.reason_text.startswith("output transfer: ")
    assert (box.home / "ran").read_text() == "run\n"
    assert not (tmp_path / "result").exists()


async def test_g8_files_outside_of_the_roots_are_neither_read_nor_written(build, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "plain").write_text("plain")
    daemon = await build(roots=FileRoots(roots=(inside,)))
    reads = copy(daemon, inside / "link", inside / "result")
    writes = copy(daemon, inside / "plain", inside / "way out")
    (inside / "way out").symlink_to(tmp_path / "secret")
    await daemon.all_are("Failed", [reads, writes])
    assert (tmp_path / "secret").read_text() == "secret"
    assert "file_roots" in daemon.job(reads).reason_text


async def test_a_missing_input_file_fails_the_job_by_name(build, tmp_path):
    daemon = await build()
    row = await daemon.status(copy(daemon, tmp_path / "nowhere", tmp_path / "result"), "Failed")
    assert row.reason_text == f"input transfer: {tmp_path / 'nowhere'}: No such file or directory"

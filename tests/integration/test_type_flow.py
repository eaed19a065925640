"""Job types in somebody's own flows, with a stock Prefect client and server and no database of ours."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchd_flows.flow_command import FlowSettings, RunsOnAnotherHost, launch_of
from batchd_flows.job_types import JobType, Parameter, ParameterType
from batchd_flows.type_flow import NotAFlowParameter, job_flow, type_flow

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LIMIT_SECONDS = 90


class Stock:
    """Programs of a Prefect user: their Prefect settings, and a batchd.yaml somewhere."""

    def __init__(self, server, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "batchd.yaml"
        self.config.write_text("variables: {greeting: hello}\n")
        (folder / "jobtypes").mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "BATCH"))}
        self.environment = kept | {
            "HOME": str(folder),
            "BATCHD_CONFIG": str(self.config),
            "BATCHD_FLOW_FOLDER": str(folder / "runs"),
            "PREFECT_API_URL": server.api_url,
            "PREFECT_API_AUTH_STRING": server.auth_string,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        (folder / "runs").mkdir()

    def job_type(self, name: str, text: str) -> None:
        (self.folder / "jobtypes" / f"{name}.yaml").write_text(f"name: {name}\n{text}\n")

    def start(self, *words: str | Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *words],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str | Path) -> tuple[int, str]:
        with self.start(*words) as program:
            said, _ = program.communicate(timeout=LIMIT_SECONDS)
        return program.returncode, said


@pytest.fixture
def stock(prefect_server, tmp_path):
    return Stock(prefect_server, tmp_path)


def use_examples(stock):
    for file in (EXAMPLES / "jobtypes").iterdir():
        if file.is_file():
            (stock.folder / "jobtypes" / file.name).write_bytes(file.read_bytes())


def test_the_example_of_a_nightly_pipeline_runs(stock, tmp_path):
    use_examples(stock)
    code, said = stock.run(EXAMPLES / "nightly_pipeline.py", tmp_path)
    assert code == 0, said
    assert "5000 rows" in said
    assert "and verified" in said
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_example_of_a_parameter_sweep_runs(stock):
    use_examples(stock)
    code, said = stock.run(EXAMPLES / "parameter_sweep.py")
    assert code == 0, said
    assert "it settles best with a damping of 0.4" in said


FAILING = """
from batchd_flows import CommandFailed, job_flow
try:
    job_flow("fails")(word="it's $x")
except CommandFailed as error:
    print(error, "|", error.result.exit_code, "|", error.result.stdout, "|", error.result.stderr)
"""


def test_a_command_that_fails_raises_with_what_is_known(stock):
    stock.job_type(
        "fails", "template: 'echo $greeting \"$word\"; echo bad >&2; exit 7'\nparams: [{name: word}]"
    )
    code, said = stock.run("-c", FAILING)
    assert code == 0, said
    assert "job type 'fails' failed: exit code 7 | 7 | hello it's $x\n | bad\n" in said


def test_a_flow_that_is_ended_ends_its_command(stock, tmp_path):
    """As a process worker does it when a run is cancelled."""
    stock.job_type("sleeps", f"template: 'echo $$ > {tmp_path}/pid; exec sleep 600'\nkill_after: 1")
    with stock.start("-c", "from batchd_flows import job_flow; job_flow('sleeps')()") as program:
        pid = _until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), program)
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=LIMIT_SECONDS)
    assert program.returncode != 0
    _until(lambda: not Path(f"/proc/{pid}").exists(), program)


def _until(look, program):
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, program.poll()
        time.sleep(0.05)
    return found


def test_parameters_are_typed_and_spelled_for_python():
    job_type = JobType(
        name="t",
        template=("echo",),
        params=(
            Parameter(name="frame-start", type=ParameterType.INTEGER, default="1"),
            Parameter(name="in.file", type=ParameterType.INPUT_FILE),
            Parameter(name="note"),
        ),
    )
    flow = type_flow(job_type, FlowSettings())
    properties = flow.parameters.properties
    assert properties["frame_start"]["type"] == "integer"
    assert properties["frame_start"]["default"] == 1
    assert [one["format"] for one in properties["in_file"]["anyOf"] if "format" in one] == ["path"]
    assert flow.parameters.required == []


def test_two_parameters_of_one_spelling_are_refused():
    job_type = JobType(name="t", template=("echo",), params=(Parameter(name="a-b"), Parameter(name="a.b")))
    with pytest.raises(NotAFlowParameter, match="'a_b'"):
        type_flow(job_type, FlowSettings())


def test_a_name_that_no_parameter_has_is_refused_at_submit():
    with pytest.raises(TypeError, match="has no parameter comand"):
        job_flow("command").submit_to("night", comand="x")


def test_a_type_of_another_host_is_refused_here_and_told_the_way(tmp_path):
    job_type = JobType(name="t", template=("echo",), host_name="farm")
    with pytest.raises(RunsOnAnotherHost, match="submit_to"):
        launch_of(job_type, {}, tmp_path, FlowSettings())


def test_limits_mean_in_a_flow_what_they_mean_in_a_queue(tmp_path):
    limits = {"timeout_seconds": 0.0, "kill_after_seconds": 0.0, "output_limit_bytes": 1024}
    launch = launch_of(JobType(name="t", template=("echo",), **limits), {}, tmp_path, FlowSettings())
    assert (launch.timeout_seconds, launch.kill_after_seconds, launch.output_limit_bytes) == (None, 0, 1024)

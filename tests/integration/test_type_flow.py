"""Job types in somebody's own flows, with a stock Prefect client and server and no database of ours."""

import getpass
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from batchd_flows.flow_command import FlowSettings, launch_of
from batchd_flows.job_types import JobType, Parameter, ParameterType
from batchd_flows.type_flow import NotAFlowParameter, job_flow, type_flow
from tests.machine_park import machine_park
from tests.reliability.invariants import left

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LIMIT_SECONDS = 180


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

    def prefect_log(self) -> list[str]:
        """Of all runs, as the Prefect server has it."""
        user, _, password = self.environment["PREFECT_API_AUTH_STRING"].partition(":")
        url = f"{self.environment['PREFECT_API_URL']}/logs/filter"
        answer = httpx.post(url, json={}, auth=(user, password), trust_env=False, timeout=30)
        return [record["message"] for record in answer.raise_for_status().json()]

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


def test_a_missing_input_file_is_named_and_nothing_runs(stock, tmp_path):
    stock.job_type("reads", f"template: touch {tmp_path}/ran\nparams: [{{name: source, type: InputFile}}]")
    code, said = stock.run("-c", "from batchd_flows import job_flow; job_flow('reads')(source='nowhere')")
    assert code != 0
    assert f"parameter 'source': the input file {tmp_path}/nowhere does not exist" in said
    assert not (tmp_path / "ran").exists()


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


SHOUT = """
template: tr a-z A-Z <"$source" >"$target"; echo $greeting from $HOME; sleep ${seconds}
host_name: box
kill_after: 1
params:
  - {name: source, type: InputFile}
  - {name: target, type: OutputFile}
  - {name: seconds, type: Integer, default: "0"}
"""
ON_HOST = """
import sys
from batchd_flows import job_flow
done = job_flow("shout")(source=sys.argv[1], target=sys.argv[2], seconds=int(sys.argv[3]))
print("result:", done.exit_code, done.stdout)
"""


@pytest.fixture
def box(stock, tmp_path_factory):
    """A machine that its controller says is off until it is started; its files stand beside batchd.yaml."""
    with machine_park(tmp_path_factory.mktemp("park"), "box") as machines:
        box = machines["box"]
        box.boot()
        for folder in ("hosts", "controllers", "state"):
            (stock.folder / folder).mkdir()
        (stock.folder / "hosts" / "box.yaml").write_text(
            f"host_name: 127.0.0.1\nport: {box.port}\nuser_name: {getpass.getuser()}\n"
            f"private_key: {box.key}\nstartup_time: 0\ncontroller: park\ninput_directory: in\n"
        )
        (stock.folder / "controllers" / "park.yaml").write_text(
            "driver: fake\nstartup_seconds: 0\nshutdown_seconds: 0\n"
        )
        stock.config.write_text(f"{stock.config.read_text()}state_directory: {stock.folder}/state\n")
        (stock.folder / "state" / "known_hosts").write_text(box.known_line())
        stock.job_type("shout", SHOUT)
        (stock.folder / "source").write_text("scene")
        yield box


@pytest.mark.slow
def test_a_type_with_a_host_runs_there_from_a_stock_prefect_with_its_files(stock, box):
    code, said = stock.run("-c", ON_HOST, "source", "target", "0")
    assert code == 0, said
    assert f"result: 0 hello from {box.home}" in said
    assert (stock.folder / "target").read_text() == "SCENE"
    for line in (f"hello from {box.home}", "copied target from box", "host box is stopped"):
        assert line in said
        assert any(line in message for message in stock.prefect_log())


@pytest.mark.slow
def test_a_flow_that_is_ended_ends_its_command_on_its_host(stock, box):
    with stock.start("-c", ON_HOST, "source", "target", "600") as program:
        _until(lambda: list(box.home.glob(".batchd/attempts-of-flows/*/pid")), program)
        _until(lambda: any("hello from" in message for message in stock.prefect_log()), program)
        assert left(box.home)
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=LIMIT_SECONDS)
    assert program.returncode != 0
    _until(lambda: not left(box.home), program)


def test_limits_mean_in_a_flow_what_they_mean_in_a_queue(tmp_path):
    limits = {"timeout_seconds": 0.0, "kill_after_seconds": 0.0, "output_limit_bytes": 1024}
    launch = launch_of(JobType(name="t", template=("echo",), **limits), {}, tmp_path, FlowSettings())
    assert (launch.timeout_seconds, launch.kill_after_seconds, launch.output_limit_bytes) == (None, 0, 1024)

"""Job types written in Python: read without being run, and equal to what YAML would give."""

import subprocess
import sys
from pathlib import Path

import pytest

from batchd_flows.command_lines import compile_command
from batchd_flows.job_types import ParameterType, RetryWhen, load_job_types, resolve_params

SOURCE = '''
from batchd_flows import InputFile, OutputFile, job_type

raise SystemExit("the daemon must not run this")

@job_type(title="Thumb", on_fail={"retry": {"when": "later", "count": 2}}, timeout="2 h")
def thumbnail(picture: InputFile, small: OutputFile = "s.png", width: int = 200, note="it's $HOME"):
    pass

@job_type
def plain():
    """Does nothing. At length."""

def other(): ...
'''


def loaded(folder: Path, source: str):
    (folder / "jobtypes").mkdir(exist_ok=True)
    (folder / "jobtypes" / "my types.py").write_text(source)
    return load_job_types([folder])


def test_a_file_is_read_and_never_run(tmp_path):
    types, problems = loaded(tmp_path, SOURCE)
    assert [(t.name, t.title) for t in types if t.source] == [
        ("plain", "Does nothing. At length"),
        ("thumbnail", "Thumb"),
    ]
    assert problems == ()


def test_a_function_is_what_a_yaml_file_would_be(tmp_path):
    thumbnail = loaded(tmp_path, SOURCE)[0].get("thumbnail")
    assert [(p.name, p.type, p.default) for p in thumbnail.params] == [
        ("picture", ParameterType.INPUT_FILE, ""),
        ("small", ParameterType.OUTPUT_FILE, "s.png"),
        ("width", ParameterType.INTEGER, "200"),
        ("note", ParameterType.STRING, "it's $HOME"),
    ]
    assert (thumbnail.on_fail.when, thumbnail.on_fail.count) == (RetryWhen.LATER, 2)
    assert thumbnail.timeout_seconds == 7200


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("@job_type\ndef f(:\n  pass", ":2: is no Python"),
        ("@job_type(queue='x')\ndef f(): ...", ":1: queue: is no key here"),
        ("T = 'x'\n@job_type(title=T)\ndef f(): ...", ":2: title: must be written out"),
        ("@job_type\ndef f(x: float): ...", ":2: x: its type must be one of str, int"),
        ("@job_type\ndef f(*x): ...", "no * and /"),
        ("@job_type\nasync def f(): ...", "a plain function"),
        ("@job_type\ndef f(PATH): ...", "belongs to the system"),
        ("@job_type(max_jobs='many')\ndef f(): ...", "max_jobs: must be a whole number"),
        ("@job_type(name='../f')\ndef f(): ...", "begins with a letter or digit"),
    ],
)
def test_a_bad_file_is_a_problem_with_its_line_and_the_others_load(tmp_path, source, said):
    (tmp_path / "jobtypes").mkdir()
    (tmp_path / "jobtypes" / "good.yaml").write_text("name: good\ntemplate: echo\n")
    types, problems = loaded(tmp_path, source)
    assert "good" in types
    assert said in str(problems[0])


def test_a_yaml_file_of_the_same_name_counts(tmp_path):
    (tmp_path / "jobtypes").mkdir()
    (tmp_path / "jobtypes" / "plain.yaml").write_text("name: plain\ntemplate: echo yaml\n")
    types, problems = loaded(tmp_path, SOURCE)
    assert types.get("plain").template == ("echo yaml",)
    assert "is defined by" in str(problems[0])


RUNS = """
import sys
from batchd_flows import InputFile, job_type

@job_type
def tell(file: InputFile, width: int = 200, note: str = "none", *, last: str = ""):
    print(type(file).__name__, repr(str(file)), width + 1, note, repr(last))
    return 3
"""


def test_values_arrive_as_what_they_are_and_the_result_is_the_exit_code(tmp_path):
    tell = loaded(tmp_path, RUNS)[0].get("tell")
    params = resolve_params(tell, {"file": "it's a $(id) `x`\n.png", "width": 7})
    command = compile_command(tell, params, host_variables={}, global_variables={}, default_syntax="Python")
    done = subprocess.run(["/bin/sh", "-c", command.script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "InputFile \"it's a $(id) `x`\\n.png\" 8 none ''\n"


def test_a_function_that_is_gone_says_so(tmp_path):
    tell = loaded(tmp_path, RUNS)[0].get("tell")
    (tmp_path / "jobtypes" / "my types.py").write_text("")
    command = compile_command(tell, {}, host_variables={}, global_variables={}, default_syntax="Shell")
    done = subprocess.run(["/bin/sh", "-c", command.script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "has no function tell any more" in done.stderr) == (2, True)


def test_the_module_for_authors_loads_without_prefect():
    program = "import sys; from batchd_flows import job_type; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr

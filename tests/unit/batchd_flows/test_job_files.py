"""Where a job's files lie on a host."""

from __future__ import annotations

from pathlib import Path

from batchd_flows.job_files import JobFiles, own_folders, plan_files
from batchd_flows.job_types import COMMAND, JobType
from batchd_flows.parameters import Parameter, ParameterType

A, B = (Parameter(name=name, type=ParameterType.INPUT_FILE) for name in "ab")
OUT = Parameter(name="out", type=ParameterType.OUTPUT_FILE)
TYPE = JobType(name="t", template=("x",), params=(A, B, OUT, Parameter(name="text")))


def planned(own: str = "job-1.1", **values: str) -> JobFiles:
    return plan_files(TYPE, values, input_directory="/h/in", output_directory="/h/out", own_folder=own)


def test_the_command_sees_the_paths_over_there():
    files = planned(a="/data/scene.blend", out="result/f.png", text="/data/scene.blend")
    assert files.values == {"a": "/h/in/job-1.1/in/scene.blend", "out": "/h/out/job-1.1/out/f.png"}
    assert files.folders == ("/h/in/job-1.1/in", "/h/out/job-1.1/out")
    assert files.outputs[0].local == Path("result/f.png")
    assert files.outputs[0].elsewhere == "/h/out/f.png"


def test_equal_names_never_meet():
    two = planned(a="/one/same", b="/two/same")
    assert two.values == {"a": "/h/in/job-1.1/in/same", "b": "/h/in/job-1.1/in/b/same"}
    assert not set(planned(a="/x/f").values.values()) & set(planned("job-2.1", a="/x/f").values.values())


def test_the_same_file_is_copied_once():
    files = planned(a="/one/same", b="/one/same")
    assert len(files.inputs) == 1
    assert files.values == {"a": "/h/in/job-1.1/in/same", "b": "/h/in/job-1.1/in/same"}


def test_an_input_is_never_taken_for_the_output_of_its_name():
    files = plan_files(
        TYPE, {"a": "f", "out": "f"}, input_directory="/h", output_directory="/h", own_folder="j"
    )
    assert files.values["a"] != files.values["out"]
    assert own_folders("/h", "/h", "j") == ("/h/j",)


def test_a_final_slash_is_a_folder_that_is_there_before_and_wildcards_are_a_pattern():
    assert "/h/out/job-1.1/out/frames" in planned(out="here/frames/").folders
    assert planned(out="here/f*.png").outputs[0].is_pattern
    assert not planned(out="he*re/f.png").outputs[0].is_pattern


def test_what_names_no_file_is_left_alone():
    assert not planned(a="", out="/")
    assert not planned(a="..")
    assert not plan_files(COMMAND, {"command": "/x"}, input_directory="", output_directory="", own_folder="j")

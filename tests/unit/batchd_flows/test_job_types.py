from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_flows.job_types import (
    COMMAND,
    JobType,
    JobTypeNotFound,
    JobTypes,
    OnFail,
    Parameter,
    ParameterError,
    ParameterType,
    RetryWhen,
    Substitution,
    TemplateSyntax,
    load_job_types,
    resolve_params,
)

FULL = """\
name: render
title: Render
syntax: shell
template: [cd work, 'blender -b "$input"']
params:
  - {name: input, type: inputfile, title: Blender file}
  - {name: out, type: OutputFile}
  - {name: frames, type: Integer, default: 5}
  - {name: token, secret: true, default: hunter2}
on_fail: {retry: {when: later, count: 3}}
host_name: big
max_jobs: 2
substitution: text
working_directory: /srv
environment: {LANG: C}
timeout: 1 h
silence: 60
kill_after: 5
"""


def job_type(*params: Parameter, template: str = "echo $x", **more: object) -> JobType:
    return JobType(name="t", template=(template,), params=params, **more)  # type: ignore[arg-type]


def load(tmp_path: Path, **files: str) -> tuple[JobTypes, list[str]]:
    (tmp_path / "jobtypes").mkdir()
    for name, text in files.items():
        (tmp_path / "jobtypes" / f"{name}.yaml").write_text(text)
    job_types, problems = load_job_types([tmp_path])
    return job_types, [str(p).removeprefix(f"{tmp_path}/jobtypes/") for p in problems]


def load_one(tmp_path: Path, text: str) -> JobType:
    job_types, problems = load(tmp_path, x=f"name: x\n{text}")
    assert problems == []
    return job_types.get("x")


INTEGER = Parameter(name="n", type=ParameterType.INTEGER)


def test_every_key_of_a_job_type_is_read(tmp_path: Path) -> None:
    job_types, problems = load(tmp_path, render=FULL)
    assert problems == []
    assert job_types.get("render") == JobType(
        name="render",
        title="Render",
        syntax=TemplateSyntax.SHELL,
        template=("cd work", 'blender -b "$input"'),
        params=(
            Parameter(name="input", type=ParameterType.INPUT_FILE, title="Blender file"),
            Parameter(name="out", type=ParameterType.OUTPUT_FILE),
            Parameter(name="frames", type=ParameterType.INTEGER, default="5"),
            Parameter(name="token", secret=True, default="hunter2"),
        ),
        on_fail=OnFail(when=RetryWhen.LATER, count=3),
        host_name="big",
        max_jobs=2,
        substitution=Substitution.TEXT,
        working_directory="/srv",
        environment={"LANG": "C"},
        timeout_seconds=3600,
        silence_seconds=60,
        kill_after_seconds=5,
        source=tmp_path / "jobtypes/render.yaml",
    )


def test_a_user_of_its_own_is_for_this_machine_and_not_for_a_host(tmp_path: Path) -> None:
    sentence = 'jobs on the host "big" run as its user_name; run_as "nobody" counts on this machine alone'
    texts = {
        "here": "template: x\nrun_as: nobody\n",
        "there": "template: x\nhost_name: big\nrun_as: nobody\n",
    }
    job_types, problems = load(tmp_path, **{name: f"name: {name}\n{text}" for name, text in texts.items()})
    assert problems == [f"there.yaml:4: run_as: {sentence}"]
    assert job_types.get("here").run_as == "nobody"


def test_the_rest_record_has_exactly_the_fields_that_old_clients_read(tmp_path: Path) -> None:
    job_types, _ = load(tmp_path, render=FULL)
    assert job_types.get("render").rest_record() == {
        "name": "render",
        "title": "Render",
        "syntax": "Shell",
        "template": ["cd work", 'blender -b "$input"'],
        "on_fail": {"retry": {"when": "later", "count": 3}},
        "host_name": "big",
        "max_jobs": 2,
        "params": [
            {"name": "input", "type": "InputFile", "title": "Blender file", "default": ""},
            {"name": "out", "type": "OutputFile", "title": "out", "default": ""},
            {"name": "frames", "type": "Integer", "title": "frames", "default": "5"},
            {"name": "token", "type": "String", "title": "token", "default": ""},
        ],
    }


def test_the_rest_record_of_the_smallest_type_is_complete(tmp_path: Path) -> None:
    assert load_one(tmp_path, "template: 'true'\n").rest_record() == {
        "name": "x", "title": "x", "syntax": None, "template": ["true"], "on_fail": "continue",
        "host_name": None, "max_jobs": None, "params": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("template: echo a", ("echo a",)),
        ("template: |\n  echo a\n  echo b\n", ("echo a", "echo b")),
        ("template: |\n  #!/bin/sh\n\n  echo b\n\n", ("#!/bin/sh", "", "echo b")),
        ("template: [echo a, echo b]", ("echo a", "echo b")),
        ("template:\n  - echo a\n  - |\n    echo b\n    echo c\n", ("echo a", "echo b", "echo c")),
    ],
)
def test_a_template_is_a_text_a_long_text_or_a_list_of_lines(
    tmp_path: Path, text: str, lines: tuple[str, ...]
) -> None:
    if lines == ("echo a", "echo b", "echo c"):
        text = text.replace("|", "|-")
    assert load_one(tmp_path, text).template == lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", OnFail()),
        ("on_fail: continue", OnFail()),
        ("on_fail: Continue", OnFail()),
        ("on_fail: retry", OnFail(when=RetryWhen.NOW, count=1)),
        ("on_fail: {retry: }", OnFail(when=RetryWhen.NOW, count=1)),
        ("on_fail: {retry: {count: 4}}", OnFail(when=RetryWhen.NOW, count=4)),
        ("on_fail: {retry: {when: later}}", OnFail(when=RetryWhen.LATER, count=1)),
    ],
)
def test_on_fail_has_these_forms(tmp_path: Path, text: str, expected: OnFail) -> None:
    assert load_one(tmp_path, f"template: 'true'\n{text}\n").on_fail == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title: x", "x.yaml:1: template: is missing"),
        ("template: ''", "x.yaml:2: template: is empty"),
        ("template: [' ', '']", "x.yaml:2: template: is empty"),
        ("template: {a: b}", "x.yaml:2: template: must be one text, not a mapping"),
        ("template: t\nsyntax: Perl", "x.yaml:3: syntax: must be one of Shell, Python, not 'Perl'"),
        ("template: t\nparams:\n  - title: x", "x.yaml:4: params[1].name: is missing"),
        (
            "template: t\nparams:\n  - name: a\n    type: Float",
            "x.yaml:5: params[1].type: must be one of String,",
        ),
        (
            "template: t\nparams: [{name: n, type: Integer, default: 1e3}]",
            "x.yaml:3: params[1].default: '1e3' is",
        ),
        (
            "template: t\nparams: [{name: LD_PRELOAD}]",
            "x.yaml:3: params[1].name: 'LD_PRELOAD' cannot be used",
        ),
        ("template: t\nparams: [{name: a b}]", "x.yaml:3: params[1].name: 'a b' cannot be used"),
        (
            "template: t\nparams:\n  - name: a\n  - name: a",
            "x.yaml:5: params[2].name: the parameter 'a' is decl",
        ),
        ("template: t\nparams: a", "x.yaml:3: params: must be a list, not one text"),
        ("template: t\non_fail: explode", "x.yaml:3: on_fail: must be 'continue', 'retry' or"),
        ("template: t\non_fail: {retyr: 1}", "x.yaml:3: on_fail.retry: is missing"),
        ("template: t\non_fail: {retry: {count: -1}}", "x.yaml:3: on_fail.retry.count: must be from 0"),
        ("template: t\nmax_jobs: 0", "x.yaml:3: max_jobs: must be from 1"),
        ("template: t\ntimeout: soon", "x.yaml:3: timeout: must be a number, perhaps with a unit"),
        ("template: t\ntemplate: u", "x.yaml:3: template: the key stands twice"),
    ],
)
def test_a_bad_type_is_refused_with_file_line_and_key_and_the_others_load(
    tmp_path: Path, text: str, problem: str
) -> None:
    job_types, problems = load(tmp_path, x=f"name: x\n{text}\n", good="name: good\ntemplate: 'true'\n")
    assert [t.name for t in job_types] == ["command", "good"]
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_an_unknown_key_is_a_warning_also_in_a_parameter(tmp_path: Path) -> None:
    job_types, problems = load(
        tmp_path, x="name: x\ntemplate: t\nhostname: h\nparams: [{name: a, tilte: b}]\n"
    )
    assert "x" in job_types
    assert sorted(problems) == [
        "x.yaml:3: hostname: unknown key, it has no effect; did you mean 'host_name'?",
        "x.yaml:4: params[1].tilte: unknown key, it has no effect; did you mean 'title'?",
    ]


def test_the_built_in_command_is_there_unless_a_file_defines_it(tmp_path: Path) -> None:
    assert load_job_types([tmp_path])[0].get("command") is COMMAND
    job_types, _ = load(tmp_path, mine="name: command\ntemplate: echo no\n")
    assert job_types.get("command").template == ("echo no",)
    assert job_types.get("mine") is job_types.get("command")


def test_a_type_named_like_anothers_file_wins_over_the_file_name(tmp_path: Path) -> None:
    job_types, _ = load(tmp_path, a="name: b\ntemplate: '1'\n", b="name: a\ntemplate: '2'\n")
    assert (job_types.get("a").template, job_types.get("b").template) == (("2",), ("1",))


def test_types_come_in_the_order_of_their_names() -> None:
    names = [t.name for t in JobTypes(JobType(name=n, template=("t",)) for n in ("b", "a", "Я", "C"))]
    assert names == ["C", "a", "b", "Я"]


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(
        JobTypeNotFound, match="there is no job type 'comand'; the nearest is 'command'"
    ) as missing:
        JobTypes([COMMAND]).get("comand")
    assert missing.value.name == "comand"


@pytest.mark.parametrize(
    ("template", "syntax", "expected"),
    [
        ("$command $args", None, "text"),
        ("  ${command} $args", TemplateSyntax.SHELL, "text"),
        ("$command", None, "text"),
        ("$command; echo", None, "text"),
        ("{command} {args}", TemplateSyntax.PYTHON, "text"),
        ("{command} {args}", None, "text"),
        ("{command} {args}", TemplateSyntax.SHELL, "variables"),
        ("$command {args}", TemplateSyntax.PYTHON, "variables"),
        ('"$command" $args', None, "variables"),
        ("'$command' $args", None, "variables"),
        ("$command/bin/x $args", None, "variables"),
        ("$$command $args", None, "variables"),
        ("$number $args", None, "variables"),
        ("$HOME $args", None, "variables"),
        ("echo $args", None, "variables"),
        ("env $command", None, "variables"),
    ],
)
def test_text_is_implied_only_where_the_whole_program_is_a_parameter(
    template: str, syntax: TemplateSyntax | None, expected: str
) -> None:
    params = (Parameter(name="command"), Parameter(name="args"))
    number = Parameter(name="number", type=ParameterType.INTEGER)
    made = job_type(*params, number, template=template, syntax=syntax)
    assert made.implied_substitution.value == expected


def test_a_script_never_implies_text_and_the_key_counts_before_all() -> None:
    params = (Parameter(name="command"),)
    script = JobType(name="t", template=("cat <<E", "$command", "E"), params=params)
    said = JobType(name="t", template=("$command",), params=params, substitution=Substitution.VARIABLES)
    assert script.implied_substitution is Substitution.VARIABLES
    assert said.implied_substitution is Substitution.VARIABLES


def test_the_form_shows_titles_types_defaults_and_the_order(tmp_path: Path) -> None:
    schema = load(tmp_path, render=FULL)[0].get("render").parameter_schema()
    assert schema["type"] == "object"
    assert list(schema["properties"]) == ["input", "out", "frames"]
    assert schema["properties"]["frames"] == {
        "title": "frames",
        "type": "integer",
        "default": 5,
        "position": 2,
    }
    assert schema["properties"]["input"]["title"] == "Blender file"
    assert schema["required"] == []
    assert "hunter2" not in str(schema)


def test_an_integer_without_default_is_required_unless_a_variable_fills_it() -> None:
    made = job_type(INTEGER, Parameter(name="s"))
    assert made.parameter_schema()["required"] == ["n"]
    assert made.parameter_schema({"n": "3"})["required"] == []


@pytest.mark.parametrize("value", ["7", "-7", "007", "0", 7, -7])
def test_an_integer_is_digits(value: object) -> None:
    assert resolve_params(job_type(INTEGER), {"n": value}) == {"n": str(value)}


@pytest.mark.parametrize(
    "value",
    [
        " 7 ",
        "1e3",
        "0x1F",
        "+7",
        "7.0",
        "--7",
        "-",
        "٧",
        "7\n",
        "9" * 5000,
        10**200,
        7.0,
        True,
        [7],
        {"a": 7},
        "x",
    ],
)
def test_what_is_no_integer_is_refused_and_names_the_parameter(value: object) -> None:
    with pytest.raises(ParameterError, match="job type 't', parameter 'n': ") as refused:
        resolve_params(job_type(INTEGER), {"n": value})
    assert (refused.value.type_name, refused.value.parameter) == ("t", "n")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("given_", [{}, {"n": ""}, {"n": None}])
def test_an_integer_comes_from_its_default_or_a_variable_or_is_missing(given_: dict[str, object]) -> None:
    with_default = Parameter(name="n", type=ParameterType.INTEGER, default="5")
    assert resolve_params(job_type(with_default), given_) == {"n": "5"}
    assert resolve_params(job_type(INTEGER), given_, {"n": "8"}) == {}
    with pytest.raises(ParameterError, match="missing"):
        resolve_params(job_type(INTEGER), given_)
    with pytest.raises(ParameterError, match="not a whole number"):
        resolve_params(job_type(INTEGER), given_, {"n": "many"})


def test_strings_take_strings_only() -> None:
    made = job_type(Parameter(name="s", default="d"))
    assert resolve_params(made, {}) == {"s": "d"}
    assert resolve_params(made, {"s": ""}) == {"s": ""}
    for wrong in (5, 1.5, True, ["a"], {"__prefect_kind": "jinja"}):
        with pytest.raises(ParameterError, match="a string is wanted"):
            resolve_params(made, {"s": wrong})


def test_undeclared_parameters_are_kept() -> None:
    assert resolve_params(job_type(), {"extra": "x", "host.name": "y"}) == {"extra": "x", "host.name": "y"}


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "LD_X", "PS4", "SHELLOPTS", "PYTHONPATH", "GIT_SSH",
        "PREFECT_API_URL", "BATCHD_JOB_ID", "HOME", "", "a b", "a=b", "a;b", "a\0b", "a\nb", "-rf", "../x",
        "$x", "x" * 129, "²",
    ],
)  # fmt: skip
def test_a_name_that_is_none_or_the_systems_is_refused(name: str) -> None:
    with pytest.raises(ParameterError) as refused:
        resolve_params(job_type(), {name: "v"})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["x", "X", "path", "Кадр", "a-b", "a.b", "_x", "2x", "USER"])
def test_a_name_is_letters_and_digits_of_any_script(name: str) -> None:
    assert resolve_params(job_type(), {name: "v"}) == {name: "v"}


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x" * (256 * 1024 + 1)])
def test_a_value_that_no_command_can_take_is_refused(value: str) -> None:
    with pytest.raises(ParameterError):
        resolve_params(job_type(), {"s": value})


def test_all_values_together_are_bounded() -> None:
    with pytest.raises(ParameterError, match="all values together"):
        resolve_params(job_type(), {f"s{n}": "x" * 200_000 for n in range(3)})
    with pytest.raises(ParameterError, match="at most 1000 parameters"):
        resolve_params(job_type(), {f"s{n}": "x" for n in range(1001)})


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200))
def test_any_other_text_stays_as_it_was_given(value: str) -> None:
    assert resolve_params(job_type(Parameter(name="s")), {"s": value}) == {"s": value}

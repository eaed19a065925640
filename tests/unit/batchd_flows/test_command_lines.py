"""Templates become scripts in which nothing of a value is code: shown by running them in real shells."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchd_flows.command_lines import (
    CommandLine,
    TemplateError,
    check_template,
    compile_command,
    untranslated_references,
)
from batchd_flows.job_types import (
    COMMAND,
    JobType,
    Parameter,
    ParameterError,
    ParameterType,
    Substitution,
    TemplateSyntax,
)

SHELLS = [["/bin/sh"], ["busybox", "sh"], ["bash"]]
NASTY = [
    "$(touch CANARY)",
    "`touch CANARY`",
    "; touch CANARY;",
    "'; touch CANARY; '",
    '"; touch CANARY; "',
    "'\"$(touch CANARY)\"'",
    "\nEOF\ntouch CANARY\n",
    "\\",
    "\\'",
    "$x",
    "${x}",
    "$$",
    "*",
    "-n",
    "--",
    "#",
    "&",
    "|",
    ">CANARY",
    ")",
    "}",
    "a[$(touch CANARY)]",
    "{{ prefect.blocks.secret.x }}",
    "\r\n",
    "\x01",
    "\x7f",
    "é\u0441\u0301\U0001f600",
]
# No NUL and no surrogates: neither can reach a command.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
VALUES = st.one_of(
    st.sampled_from(NASTY),
    st.text(CHARACTERS, max_size=30),
    st.lists(st.sampled_from(NASTY) | st.text(CHARACTERS, max_size=4), max_size=5).map("".join),
)
BATCH = st.lists(VALUES, min_size=12, max_size=12)
EACH_SHELL = pytest.mark.parametrize(
    "shell",
    [
        pytest.param(words, marks=pytest.mark.skipif(not shutil.which(words[0]), reason="not installed"))
        for words in SHELLS
    ],
    ids=["sh", "busybox", "bash"],
)


def job_type(
    template: str,
    *params: str | Parameter,
    syntax: TemplateSyntax | None = None,
    substitution: Substitution | None = None,
) -> JobType:
    return JobType(
        name="render",
        template=tuple(template.split("\n")),
        params=tuple(Parameter(name=p) if isinstance(p, str) else p for p in params),
        syntax=syntax,
        substitution=substitution,
    )


def python_type(template: str, *params: str, substitution: Substitution | None = None) -> JobType:
    return job_type(template, *params, syntax=TemplateSyntax.PYTHON, substitution=substitution)


def compiled(
    a_type: JobType,
    params: Mapping[str, str],
    host_variables: Mapping[str, str] | None = None,
    global_variables: Mapping[str, str] | None = None,
) -> CommandLine:
    check_template(a_type, "Shell", variables=[*(host_variables or {}), *(global_variables or {})])
    return compile_command(
        a_type,
        params,
        host_variables=host_variables or {},
        global_variables=global_variables or {},
        default_syntax="Shell",
    )


def run(command: CommandLine, shell: list[str] | None = None, **environment: str) -> str:
    """Run it as a job runs, in a folder of its own; what it printed. Nothing in any value has made a file."""
    with tempfile.TemporaryDirectory() as folder:
        script, work = Path(folder, "script"), Path(folder, "work")
        script.write_bytes(command.script.encode())
        script.chmod(0o700)
        work.mkdir()
        done = subprocess.run(
            [*(shell or []), str(script)],
            cwd=work,
            env={"PATH": os.environ["PATH"], "HOME": "/home/of/job", **environment, **command.environment},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert list(work.iterdir()) == []
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()


def output(template: str, shell: list[str] | None = None, /, **params: str) -> str:
    return run(compiled(job_type(template, *params), params), shell)


# --- F7: values ---

# An external printf, so that the values have been through execve. A full stop keeps ends from being trimmed.
EVERY_CONTEXT = r"""
set -f
/usr/bin/printf '%s\0' "$p0" '$p1' "${p2}" "a$p3'b" 'a${p4}"b' "$(printf %s. "$p5")" "$(printf %s. '$p6')"
/usr/bin/printf '%s\0' "`printf %s. "$p7"`" "`printf %s. '$p8'`" "${none:-$p9}" "${none:-'$p9'}"
# it's only a comment: $p0 `$p1` "$(
cat <<EOF
$p10 '$p10' "$p10"
EOF
cat <<'EOF'; /usr/bin/printf '\0%s\0' $p11
$p0 $none \ `x` $(x)
EOF
"""


def expected_in_every_context(v: list[str]) -> str:
    quoted = [v[0], v[1], v[2], f"a{v[3]}'b", f'a{v[4]}"b', v[5] + ".", v[6] + "."]
    quoted += [v[7] + ".", v[8] + ".", v[9], f"'{v[9]}'"]
    here = f"{v[10]} '{v[10]}' \"{v[10]}\"\n" + f"{v[0]} $none \\ `x` $(x)\n"
    words = [word for word in v[11].replace("\t", " ").replace("\n", " ").split(" ") if word]
    bare = "".join(f"\0{word}\0" for word in words or [""])
    return "".join(text + "\0" for text in quoted) + here + bare


@EACH_SHELL
@settings(max_examples=60, deadline=None)
@given(values=BATCH)
def test_f7_values_reach_argv_unchanged_in_every_context(shell, values):
    params = {f"p{n}": value for n, value in enumerate(values)}
    assert output(EVERY_CONTEXT, shell, **params) == expected_in_every_context(values)


PYTHON_CONTEXTS = (
    r"""/usr/bin/printf '%s\0' {p0} a{p1}b {p2}{p3} '{p4}' "{p5}" "$(printf %s. {p6})" "`printf %s. {p7}`" """
    r"""\{{p8}\} {p9} "$\{p10\}" {p11}"""
)


@EACH_SHELL
@settings(max_examples=40, deadline=None)
@given(values=BATCH)
def test_f7_each_value_of_a_python_template_is_one_word_where_it_stands(shell, values):
    params = {f"p{n}": value for n, value in enumerate(values)}
    v = values
    expected = [v[0], f"a{v[1]}b", v[2] + v[3], v[4], v[5], v[6] + ".", v[7] + ".", "{" + v[8] + "}", *v[9:]]
    printed = run(compiled(python_type(PYTHON_CONTEXTS, *params), params), shell)
    assert printed.split("\0") == [*expected, ""]


@EACH_SHELL
def test_f7_a_value_of_200_kb_reaches_the_command_though_no_environment_takes_it(shell):
    value = "it's $(touch CANARY) `x` é\n" * 8000
    assert len(value) > 200_000
    template = "printf '%s|%s|' \"$x\" '$x'\ncat <<EOF\n$x\nEOF\nprintf %s \"${#x}\"\n/bin/true"
    command = compiled(job_type(template, "x", "y"), {"x": value, "y": "short"})
    assert command.unexported == ("x",)
    assert command.environment == {"y": "short"}
    # An `x` that was inherited must not carry the long value into the environment of /bin/true.
    printed = run(command, shell, x="inherited")
    beginning = f"{value}|{value}|{value}\n"
    assert printed.startswith(beginning)
    # Shells count characters or bytes.
    assert printed.removeprefix(beginning) in {str(len(value)), str(len(value.encode()))}


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_command_can_take_is_refused_by_name(value):
    with pytest.raises(ParameterError, match="parameter 'x'"):
        compiled(job_type("echo $x", "x"), {"x": value})


@EACH_SHELL
def test_bare_references_are_split_and_globbed_as_in_any_script(shell):
    assert output("set -- $x; echo $#", shell, x=" a  b\tc\nd ") == "4\n"
    assert (
        output("cd /; for f in $x; do echo $f; done", shell, x="et[c] no*such*file") == "etc\nno*such*file\n"
    )


@pytest.mark.parametrize(
    "template",
    [
        "echo $((x + 1))",
        "echo $(($x + 1))",
        "echo $(( (${x}) * 2 ))",
        'echo "$((x))"',
        "#!/bin/bash\n(( x > 1 ))",
        "#!/bin/bash\n[[ $x -gt 3 ]]",
        '#!/bin/bash\n[[ a == a && 3 -lt "$x" ]]',
        "#!/bin/bash\n[[ x -eq 3 ]]",
        "#!/bin/bash\necho ${a[$x]}",
        "#!/bin/bash\na[$x]=1",
        '#!/bin/bash\necho "${HOME:$x:2}"',
        "#!/bin/bash\necho ${HOME:x}",
        "#!/bin/bash\necho $[x]",
    ],
)
def test_f7_only_a_whole_number_may_stand_where_shells_evaluate(template):
    a_type = job_type(template, "x")
    check_template(a_type, "Shell")
    assert compiled(a_type, {"x": "-12"})
    for value in ("a[$(touch CANARY)]", "PATH=1", "x"):
        with pytest.raises(TemplateError, match="x stands in arithmetic"):
            compiled(a_type, {"x": value})


@pytest.mark.skipif(not shutil.which("bash"), reason="[[ is bash's")
def test_text_beside_a_numeric_comparison_may_be_anything():
    template = "#!/bin/bash\n[[ $x == 'a b' && 4 -gt $n && -n $x ]] && echo yes"
    assert output(template, x="a b", n="3") == "yes\n"


@pytest.mark.skipif(not shutil.which("bash"), reason="other shells refuse it")
def test_two_parentheses_that_open_subshells_are_no_arithmetic():
    template = '#!/bin/bash\necho "$((echo "$x") | cat)"; ((echo "$x"); echo "$x")'
    assert output(template, x="a; b") == "a; b\n" * 3


# --- quoting contexts that are easy to get wrong ---


@EACH_SHELL
@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("echo \"$(case $x in v) echo 'it is $x';; *) echo no;; esac)\"", "it is v\n"),
        ("echo \"$(case $x in a) :;; v) echo '$x' ;; esac)\" '$x'", "v v\n"),
        ("echo \"$(case $x in (v) echo '$x';; esac)\" '$x'", "v v\n"),
        ("echo $(echo case) '$x'", "case v\n"),
        ('echo "${no:-"$x"}" \'$x\'', "v v\n"),
        ("y=v.v; echo \"${y%'.$x'}\" ${y#*'.$x'}", "v\n"),
        ("y=v.v; echo \"${y%.'$x'}\" ${y#'$x'}", "v .v\n"),
        ("cat <<A; cat <<'B'\n$x '\nA\n$x \"$y\nB\necho '$x'", "v '\nv \"$y\nv\n"),
        ("cat <<-'A'\n\t$x $$y\n\tA\necho '$x'", "v $y\nv\n"),
        ("cat <<'A'\n'$y' \\ `\nA\necho '$x'", "'$y' \\ `\nv\n"),
        ("cat <<'A'\n'$y' $$z\nA\necho '$x'", "'$y' $z\nv\n"),
        ("cat <<A\n\\$x `echo '$x' \"it's\"` $(echo '$x') ${no:-'$x'}\nA", "$x v it's v 'v'\n"),
        ("echo \"$(cat <<A\n$x '\nA\n)\" '$x'", "v ' v\n"),
        ("echo a#'$x' $# '$x' # it's", "a#v 0 v\n"),
        ("echo `echo \\`echo '$x'\\` # it's`", "v\n"),
        ('echo "`echo \\"$x\\"`" \'$x\'', "v v\n"),
        ("(echo '$x') # it's\n{ echo '$x'; }", "v\nv\n"),
        ("echo \\'$x\\' \\\"'$x'", "'v' \"v\n"),
        ("echo \\$x \"\\$x\" '$x'", "$x $x v\n"),
        ("f() { echo \"$1\"; }; f '$x'", "v\n"),
        ("echo $((1 << 2)) '$x'", "4 v\n"),
        ("echo a\\\n'$x'", "av\n"),
        ("true && echo '$x' || echo no", "v\n"),
    ],
)
def test_references_are_found_in_the_place_where_they_stand(shell, template, printed):
    assert output(template, shell, x="v") == printed


def test_a_lone_single_quote_in_a_default_inside_double_quotes_is_text_to_sh():
    assert output("echo \"${no:-it's}\" '$x'", x="v") == "it's v\n"


@pytest.mark.skipif(not shutil.which("bash"), reason="dollar quotes are bash's")
def test_dollar_quotes_of_bash():
    assert output("#!/bin/bash\necho $'it\\'s\\t$x' '$x'", x="a\\tb") == "it's\ta\\tb a\\tb\n"


# --- names ---


@EACH_SHELL
def test_two_dollars_are_one_that_the_shell_reads(shell):
    template = "x=own; echo $$x $$(echo 1) '$$x' \"5$$\" $$$x '$$$x'"
    assert output(template, shell, x="v") == "own 1 $x 5$ $v $v\n"


@EACH_SHELL
def test_four_dollars_are_the_shells_process_number(shell):
    assert output('test "$$$$" -gt 1; echo $?', shell) == "0\n"


@EACH_SHELL
def test_f13_names_that_nobody_declared_are_the_shells_own(shell):
    template = "for i in 1 2; do echo $i ${i}; done\necho $HOME ${none-default} $none. '$HOME'"
    assert output(template, shell) == "1 1\n2 2\n/home/of/job default . $HOME\n"


@EACH_SHELL
def test_a_name_that_is_not_set_is_empty(shell):
    assert output("echo a${x}b${no.such}c${x.y-z}d$йы.", shell, x="") == "abcd.\n"


@EACH_SHELL
def test_names_have_dots_and_dashes_only_in_braces(shell):
    values = {"a": "A", "a-b": "AB", "a.b": "A.B", "имя": "N"}
    assert output('echo "$a-b ${a-b} ${a.b} $имя $a_b"', shell, **values) == "A-b AB A.B N A_b\n"


def test_lookup_goes_from_the_job_to_the_host_to_the_installation():
    a_type = job_type("echo $a $b $c $d", "a", Parameter(name="b", default="default"))
    host, everywhere = {"a": "H", "b": "H", "c": "H"}, {"a": "G", "c": "G", "d": "G"}
    assert run(compiled(a_type, {"a": "J"}, host, everywhere)) == "J default H G\n"
    assert run(compiled(a_type, {}, host, everywhere)) == "H default H G\n"
    assert run(compiled(a_type, {"a": "", "c": "J"}, host, everywhere)) == "default J G\n"


def test_an_empty_integer_is_a_missing_one():
    a_type = job_type("echo $n", Parameter(name="n", type=ParameterType.INTEGER))
    assert run(compiled(a_type, {"n": ""}, {"n": "7"})) == "7\n"


@EACH_SHELL
def test_more_than_a_name_is_the_shells_and_finds_parameters_and_variables(shell):
    a_type = job_type('echo "${x%.blend}" ${#x} ${y:-none} "${v%.*}"', "x", "y")
    assert run(compiled(a_type, {"x": "a b.blend"}, {"v": "host.tld"}), shell) == "a b 9 none host\n"


# --- undeclared parameters ---


@EACH_SHELL
def test_f5_undeclared_parameters_reach_the_command_like_declared_ones(shell):
    a_type = job_type('echo "$x" "${x}" "${a-b}" "${a.b}"; printenv x')
    command = compiled(a_type, {"x": "a  b", "a-b": "c", "a.b": "d"})
    assert run(command, shell) == "a  b a  b c d\na  b\n"


@EACH_SHELL
def test_an_undeclared_parameter_cannot_change_the_loops_and_quoted_programs_of_a_template(shell):
    loops = "for i in 1 2; do echo $i; done; sh -c 'for f in a; do echo $f; done'"
    a_type = job_type(loops + "; echo k | awk '{print $NF}'; f() { echo $1; }; f own")
    evil = {"i": "../..", "f": ";touch CANARY", "NF": 'system("touch CANARY")', "1": "x"}
    assert run(compiled(a_type, evil), shell) == "1\n2\na\nk\nown\n"


@EACH_SHELL
def test_an_undeclared_parameter_does_not_replace_a_variable_inside_single_quotes(shell):
    a_type = job_type("sh -c 'echo $dir'; echo $dir")
    command = compiled(a_type, {"dir": ";touch CANARY"}, {"dir": "/scratch"})
    assert run(command, shell) == "/scratch\n;touch CANARY\n"


@EACH_SHELL
def test_an_undeclared_parameter_gives_no_orders_to_programs(shell):
    a_type = job_type("echo $HOME $TAR_OPTIONS; printenv HOME TAR_OPTIONS http_proxy || :")
    command = compiled(a_type, {"TAR_OPTIONS": "--x", "http_proxy": "evil:1"})
    assert run(command, shell) == "/home/of/job --x\n/home/of/job\n"
    assert command.unexported == ("TAR_OPTIONS", "http_proxy")


def test_the_environment_has_the_parameters_under_their_own_names():
    a_type = job_type("true", "x", "empty", "a-b", "BIG", Parameter(name="d", default="default"))
    command = compiled(a_type, {"x": "1", "a-b": "2", "BIG": "3", "extra": "4"})
    assert command.environment == {"x": "1", "empty": "", "BIG": "3", "d": "default", "extra": "4"}
    assert command.unexported == ("a-b",)


def test_the_environment_does_not_grow_past_what_a_process_can_take():
    names = [f"p{n}" for n in range(6)]
    command = compiled(job_type("/bin/true", *names), dict.fromkeys(names, "x" * 120_000))
    assert command.unexported == ("p4", "p5")
    assert run(command) == ""


# --- scripts ---


def test_one_line_runs_through_bin_sh_and_several_are_a_script():
    assert compiled(job_type("true"), {}).script == "#!/bin/sh\ntrue\n"
    assert compiled(job_type("true\nfalse\n"), {}).script == "#!/bin/sh\ntrue\nfalse\n"
    assert compiled(job_type("#!/bin/sh -e\ntrue"), {}).script == "#!/bin/sh -e\ntrue\n"


@pytest.mark.parametrize(
    "shebang",
    [
        "#!/bin/dash",
        "#! /bin/bash -e",
        "#!/usr/bin/env bash",
        "#!/usr/bin/env -S A=1 bash -e",
        "#!/bin/busybox sh",
    ],
)
def test_scripts_of_the_shell_family_are_translated_after_their_shebang(shebang):
    command = compiled(job_type(f"{shebang}\necho '$x'", "x"), {"x": "a b"})
    assert command.script.splitlines() == [shebang, "BATCHD_P_0='a b'", "echo ''\"${BATCHD_P_0}\"''"]


def test_a_script_for_another_interpreter_reads_its_values_from_the_environment():
    a_type = job_type('#!/usr/bin/env python3\nimport os\nprint(os.environ["x"], "$x {x} $$")', "x")
    assert run(compiled(a_type, {"x": "a;b"})) == "a;b $x {x} $$\n"
    assert untranslated_references(a_type, "Shell") == (("x", 3),)
    assert untranslated_references(a_type, "Python") == (("x", 3),)


def test_a_script_for_another_interpreter_may_ask_for_text():
    a_type = job_type("#!/usr/bin/env python3\nprint($x)", "x", substitution=Substitution.TEXT)
    assert run(compiled(a_type, {"x": "1 + 1"})) == "2\n"
    assert untranslated_references(a_type, "Shell") == ()


# --- text ---


def test_old_command_types_take_pipes_and_lists():
    assert run(compiled(COMMAND, {"command": "echo a | tr a b"})) == "b\n"
    assert run(compiled(COMMAND, {"command": "echo", "args": "'a  b' && echo c"})) == "a  b\nc\n"


def test_text_is_pasted_by_the_templates_grammar():
    a_type = job_type("echo $$HOME $HOME.$none ${a.b}$x", "x", substitution=Substitution.TEXT)
    assert run(compiled(a_type, {"x": "1; echo 2"})) == "/home/of/job /home/of/job. 1\n2\n"
    python = python_type("echo \\{x\\} {x}", "x", substitution=Substitution.TEXT)
    assert run(compiled(python, {"x": "1; echo 2"})) == "{x} 1\n2\n"


def test_a_program_named_by_a_variable_does_not_open_the_shell_to_parameters():
    a_type = job_type("$tool $x", "x")
    assert run(compiled(a_type, {"x": "a; touch CANARY"}, {}, {"tool": "echo"})) == "a; touch CANARY\n"


def test_substitution_variables_keeps_a_chosen_program_from_being_text():
    a_type = job_type("$x $y", "x", "y", substitution=Substitution.VARIABLES)
    assert run(compiled(a_type, {"x": "echo", "y": "a | touch CANARY"})) == "a | touch CANARY\n"


# --- F13: templates that can never run ---


@pytest.mark.parametrize(
    ("a_type", "line", "said"),
    [
        (job_type(" \n"), 0, "empty"),
        (job_type("echo 'a"), 1, "single quote is never closed"),
        (job_type('true\necho "a'), 2, "double quote is never closed"),
        (job_type("true\ntrue\necho `a"), 3, "backquote is never closed"),
        (job_type("echo $(a"), 1, "`$(` is never closed"),
        (job_type("echo ${a:-b"), 1, "`${` is never closed"),
        (job_type("true\nif true; then"), 3, "/bin/sh -n refuses it: Syntax error"),
        (job_type("#!/bin/sh\ntrue\n;; x"), 3, "/bin/sh -n refuses it: Syntax error"),
        (job_type("$x 'a", "x"), 2, "/bin/sh -n refuses it"),
        (job_type("cat <<'A B'\n$x\nA B", "x"), 2, "here-document"),
        (python_type("true\necho {x"), 2, "`{` begins no `{name}`"),
        (python_type("echo {}"), 1, "`{` begins no `{name}`"),
        (python_type("true\n\necho {x}"), 3, "{x} names no parameter"),
        (python_type("echo ${HOME}"), 1, "{HOME} names no parameter"),
        (job_type("tr\0ue"), 0, "NUL"),
        (job_type("echo " + "$(" * 5000 + ")" * 5000), 1, "nested too deeply"),
        (job_type("echo " + "$((" * 40 + "x"), 1, "never closed"),
    ],
)
def test_f13_a_template_that_can_never_run_is_refused_with_its_line(a_type, line, said):
    with pytest.raises(TemplateError) as caught:
        check_template(a_type, "Shell")
    assert said in caught.value.sentence
    assert caught.value.line == line
    assert caught.value.type_name == "render"


def test_a_python_template_may_use_variables_that_are_known():
    assert run(compiled(python_type("echo {dir}"), {}, {"dir": "a b"})) == "a b\n"


def test_the_installations_syntax_counts_where_the_type_has_none():
    with pytest.raises(TemplateError):
        check_template(job_type("echo {x}"), "Python")
    check_template(job_type("echo {x}"), "Shell")


def test_a_bash_script_is_checked_by_bash():
    check_template(job_type("#!/bin/bash\na=(1 2)\n[[ ${a[0]} == 1 ]]"), "Shell")


PIECES = "$x|${x}|'|\"|`|$(|)|((|))|$((|${y:-|}|\\|\n| |<<E|<<'E'|\nE\n|#|case x in|esac|;;|a|$$|[[|]]|$'|x["
TEMPLATES = st.lists(st.sampled_from(PIECES.split("|")), max_size=14).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEMPLATES)
def test_whatever_the_template_a_value_stands_only_where_it_is_assigned(template):
    value = "17$(touch CANARY)"
    a_type = job_type(f"{template}\ntrue", "x", substitution=Substitution.VARIABLES)
    try:
        command = compile_command(
            a_type, {"x": value}, host_variables={}, global_variables={}, default_syntax="Shell"
        )
    except TemplateError:
        return
    lines = command.script.split("\n")
    assert [line for line in lines if value in line] in ([], [f"BATCHD_P_0='{value}'"])

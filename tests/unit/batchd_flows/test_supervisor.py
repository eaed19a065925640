"""What is written for a supervisor, and what is read of it."""

from pathlib import Path

import pytest

from batchd_flows.supervisor import (
    RESERVED,
    Exit,
    Launch,
    ProcessId,
    SupervisorError,
    launch_text,
    parse_exit,
    parse_pid,
    settings_text,
)


def a_launch(**changes: object) -> Launch:
    defaults: dict[str, object] = {"folder": Path("/f"), "script": "true", "environment": {}}
    return Launch(**(defaults | changes))  # type: ignore[arg-type]


def text_of(launch: Launch) -> str:
    return launch_text(launch, folder="/f", working_directory="/w").decode()


def test_an_exit_code_has_no_reason() -> None:
    assert parse_exit("3 0 0 -\n") == Exit(exit_code=3, signal=None, reason=None, output_cut=False)


def test_a_signal_is_no_exit_code() -> None:
    ended = parse_exit("137 9 0 -\n")
    assert ended == Exit(exit_code=None, signal=9, reason="ended by signal 9 (SIGKILL)", output_cut=False)


def test_137_without_a_signal_is_an_exit_code() -> None:
    assert parse_exit("137 0 0 -") == Exit(exit_code=137, signal=None, reason=None, output_cut=False)


def test_a_real_time_signal_has_a_sentence_too() -> None:
    ended = parse_exit("163 35 0 -")
    assert ended is not None
    assert ended.reason == "ended by signal 35 (real-time)"


def test_who_ended_it_goes_before_how_it_ended() -> None:
    assert parse_exit("143 15 1 timeout") == Exit(
        exit_code=None, signal=15, reason="timeout", output_cut=True
    )


def test_cancelled_before_it_ran_has_no_exit_code() -> None:
    assert parse_exit("- 0 0 cancelled") == Exit(
        exit_code=None, signal=None, reason="cancelled", output_cut=False
    )


@pytest.mark.parametrize(("code", "reason"), [(126, "not executable"), (127, "command not found")])
def test_the_shell_s_own_codes_have_a_reason(code: int, reason: str) -> None:
    ended = parse_exit(f"{code} 0 0 -")
    assert ended is not None
    assert ended.reason == reason


def test_a_sentence_of_the_launch_is_the_better_reason() -> None:
    ended = parse_exit("127 0 0 -", "interpreter '/x' not found\n")
    assert ended is not None
    assert ended.reason == "interpreter '/x' not found"


@pytest.mark.parametrize("text", ["", "3", "3 0 0", "x 0 0 -", " " * 60, "\0" * 61])
def test_a_file_that_is_not_whole_is_no_exit(text: str) -> None:
    assert parse_exit(text) is None


def test_the_longest_line_fits_into_what_is_reserved() -> None:
    assert len(f"{255} {64} 1 cancelled\n") <= len(RESERVED["exit.part"])
    assert len(f"{2**22} {2**64}\n") <= len(RESERVED["job"])


def test_a_process_has_pid_start_and_boot() -> None:
    assert parse_pid("12 345 abc\n") == ProcessId(pid=12, start_ticks=345, boot_id="abc")


@pytest.mark.parametrize("text", ["", "12", "12 345", "a b c"])
def test_a_file_that_is_not_whole_is_no_process(text: str) -> None:
    assert parse_pid(text) is None


def test_settings_are_hundredths_and_blocks() -> None:
    launch = a_launch(timeout_seconds=1.5, kill_after_seconds=0.001, output_limit_bytes=1000)
    assert settings_text(launch) == b"timeout=150 silence= kill_after=1 blocks=2\n"
    assert settings_text(a_launch()) == b"timeout= silence= kill_after=1000 blocks=unlimited\n"


def test_a_value_is_quoted_and_exported() -> None:
    assert "export A='x'\"'\"'y $(z)'\n" in text_of(a_launch(environment={"A": "x'y $(z)"}))


@pytest.mark.parametrize("name", ["a-b", "a.b", "IFS", "OPTIND", "PWD", "BASH_ENV", "RANDOM", "batchd_env"])
def test_what_the_shell_would_act_upon_is_set_by_env(name: str) -> None:
    text = text_of(a_launch(environment={name: "1 2"}))
    assert "export" not in text
    assert f"\"$batchd_env\" '{name}=1 2' /bin/sh /f/command" in text


def test_the_mark_is_not_the_caller_s_to_choose() -> None:
    assert "forged" not in text_of(a_launch(environment={"BATCHD_ATTEMPT_MARK": "forged"}))


@pytest.mark.parametrize(
    ("first_line", "program"),
    [
        ("true", "/bin/sh"),
        ("#!/bin/bash", "/bin/bash"),
        ("#! /bin/bash -e -u", "/bin/bash '-e -u'"),
        ("#!", "/bin/sh"),
        ("#!/usr/bin/env python3", "/usr/bin/env python3"),
    ],
)
def test_the_first_line_says_who_runs_it_as_the_kernel_reads_it(first_line: str, program: str) -> None:
    assert text_of(a_launch(script=f"{first_line}\nrest")).endswith(f"{program} /f/command\n")


def test_a_windows_line_end_belongs_to_the_name_and_is_shown() -> None:
    assert "/bin/sh\\r" in text_of(a_launch(script="#!/bin/sh\r\ntrue\r\n"))


def test_a_nul_or_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(SupervisorError, match="NUL"):
        text_of(a_launch(environment={"A": "\0"}))
    with pytest.raises(SupervisorError, match="cannot be written"):
        text_of(a_launch(environment={"A": "\ud800"}))


def test_bytes_that_were_no_utf8_come_back_as_they_were() -> None:
    launch = a_launch(environment={"A": "\udcff"})
    assert b"\xff" in launch_text(launch, folder="/f", working_directory="/w")

"""Lines of the log. FAULTS.md: G13."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_api.logs import Lines

EVIL = "evil\r\nroot logged in\x1b[2J\x00\x85\u2028\u202egnp"


def line(message, *arguments, error=None, template="{time} [{level:~u}] {source}: {message}\n"):
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("batchd.api", logging.WARNING, "x.py", 1, message, arguments, info)
    return Lines(template).format(record)


@pytest.mark.parametrize("what", ["user %s", "path /queue/%s", "notes: %s"])
def test_g13_what_a_user_wrote_stays_in_one_line_and_moves_no_cursor(what):
    shown = line(what, EVIL)
    assert shown.splitlines() == [shown]
    assert shown.isprintable()
    assert "evil\\r\\nroot logged in\\x1b[2J" in shown


def test_g13_an_exception_is_one_line_too():
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        shown = line("it failed", error=error)
    assert shown.splitlines() == [shown]
    assert "ValueError" in shown


@given(st.text())
def test_g13_whatever_is_logged_is_one_line(text):
    shown = line("%s", text)
    assert len(shown.splitlines()) == 1
    shown.encode()


def test_fields_and_modifiers_of_a_format():
    assert (
        line("hi", template="{level:~l}|{level:~u}|{package}|{nothing}|{message}")
        == "warning|WARNING|batchd||hi"
    )

"""Records are what frozen, keyword-only dataclasses are."""

import copy

import pytest

from batchd_cli.records import Parameter, Period, Queue


def test_a_record_has_its_defaults_and_equals_its_like() -> None:
    one = Parameter(name="x")
    assert (one.type, one.title, one.default) == ("String", "", "")
    assert one == Parameter(name="x", type="String")
    assert one != Parameter(name="y")
    assert one != Period(begin="x", end="y")
    assert len({one, Parameter(name="x")}) == 1
    assert copy.deepcopy(one) == one
    assert repr(Period(begin="a", end="b")) == "Period(begin='a', end='b')"


def test_a_record_is_not_changed() -> None:
    one = Parameter(name="x")
    with pytest.raises(AttributeError):
        one.name = "y"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del one.name


def test_a_record_wants_every_field_and_no_other() -> None:
    with pytest.raises(TypeError, match="Queue wants enabled, schedule_name"):
        Queue(name="q")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Period has no middle"):
        Period(begin="a", middle="b", end="c")  # type: ignore[call-arg]

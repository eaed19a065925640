import enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_infra.config_fields import Fields, time_text
from batchd_infra.config_nodes import ConfigError, parse

PATH = Path("x.yaml")


class Colour(enum.Enum):
    RED = "Red"
    DARK_BLUE = "DarkBlue"


def fields(text: str) -> Fields:
    return Fields(PATH, parse(PATH, text.encode()), [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("22:00:00", "22:00:00"), ("6:00", "06:00:00"), ("'06:00:00'", "06:00:00"), ("79200", "22:00:00"),
        ("0", "00:00:00"),
    ],
)  # fmt: skip
def test_a_time_is_read_quoted_unquoted_and_as_the_number_yaml_made_of_it(value: str, expected: str) -> None:
    assert fields(f"end: {value}").time("end") == expected


@pytest.mark.parametrize("value", ["24:00:00", "22:60:00", "86400", "noon", "1:2:3:4", "-1", "٢٢:٠٠:٠٠"])
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="must be a time such as 22:00:00"):
        fields(f"end: '{value}'").time("end")


@given(st.times())
def test_a_number_of_seconds_is_the_time_that_yaml_1_1_read(time: object) -> None:
    text = time.strftime("%H:%M:%S")  # type: ignore[attr-defined]
    hour, minute, second = map(int, text.split(":"))
    assert time_text(text) == time_text(hour * 3600 + minute * 60 + second) == text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5), ("2.5", 2.5), ("90 s", 90), ("5min", 300), ("2 h", 7200), ("3 days", 259200), ("500 ms", 0.5)],
)
def test_a_duration_is_a_number_or_has_a_unit(value: str, seconds: float) -> None:
    assert fields(f"timeout: {value}").seconds("timeout") == seconds


@pytest.mark.parametrize("value", ["-1", "5 parsecs", "1e400", "nan", "five", "999999999999", ""])
def test_what_is_no_duration_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^x\.yaml:1: timeout: "):
        fields(f"timeout: '{value}'").seconds("timeout")


def test_a_bare_number_has_the_unit_of_its_key() -> None:
    assert fields("done_jobs: 2").seconds("done_jobs", unit_seconds=86400) == 172800
    assert fields("done_jobs: 12 h").seconds("done_jobs", unit_seconds=86400) == 43200


@pytest.mark.parametrize("value", ["1e3", "0x1F", "1.0", "1_000", "five", "9" * 30, "[1]", "{a: 1}"])
def test_what_is_no_integer_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^x\.yaml:2: port: must be"):
        fields(f"a: 1\nport: {value}").integer("port")


def test_an_integer_has_bounds() -> None:
    with pytest.raises(ConfigError, match="must be from 1 to 65535, not 70000"):
        fields("port: 70000").integer("port", minimum=1, maximum=65535)


def test_a_choice_is_taken_in_any_case() -> None:
    assert fields("c: DARKBLUE").choice("c", Colour) is Colour.DARK_BLUE
    with pytest.raises(ConfigError, match="must be one of Red, DarkBlue, not 'green'"):
        fields("c: green").choice("c", Colour)


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("Yes", True), ("on", True), ("no", False)])
def test_booleans_are_those_of_yaml_1_1(value: str, expected: bool) -> None:
    assert fields(f"x: {value}").boolean("x") is expected


def test_null_counts_as_absent() -> None:
    read = fields("a:\nb: ~\nc: null\nd: 'null'\n")
    assert [read.text(k) for k in "abcd"] == [None, None, None, "null"]


def test_one_text_stands_for_a_list_of_one() -> None:
    assert fields("c: a b").texts("c") == ("a b",)
    assert fields("c: [a, 5]").texts("c") == ("a", "5")
    assert fields("x: 1").texts("c") is None


def test_an_unknown_key_is_a_warning_with_the_nearest_known_one() -> None:
    read = fields("host_nmae: x\nzzz: 1\n")
    read.text("host_name")
    read.finish()
    assert [str(w) for w in read.warnings] == [
        "x.yaml:1: host_nmae: unknown key, it has no effect; did you mean 'host_name'?",
        "x.yaml:2: zzz: unknown key, it has no effect",
    ]


def test_a_key_in_a_section_knows_its_place_and_line() -> None:
    read = fields("manager:\n  host: x\n  port: many\n")
    with pytest.raises(ConfigError) as refused:
        read.section("manager").integer("port")
    assert (refused.value.line, refused.value.key) == (3, "manager.port")


def test_a_text_that_may_be_a_secret_is_in_no_message() -> None:
    with pytest.raises(ConfigError) as refused:
        fields("passphrase: [hunter2]").text("passphrase")
    assert "hunter2" not in str(refused.value)


def test_the_value_of_a_number_is_shown_cut() -> None:
    with pytest.raises(ConfigError) as refused:
        fields("port: " + "x" * 10_000).integer("port")
    assert len(str(refused.value)) < 120

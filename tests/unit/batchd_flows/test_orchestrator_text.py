import json
from datetime import UTC, datetime

import pytest

from batchd_flows.orchestrator_records import LogBlock
from batchd_flows.orchestrator_text import (
    RECORD_CHARACTERS,
    literal_parameters,
    log_records,
    requests_of,
    storable,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def block(text: str, level: int = 20) -> LogBlock:
    return LogBlock(time=NOON, level=level, text=text)


def test_what_cannot_be_stored_is_replaced() -> None:
    assert storable("a\0b\ud800c") == "a\ufffdb?c"
    assert storable("grün \x1b[1m") == "grün \x1b[1m"


def test_lines_of_one_level_become_one_record() -> None:
    assert [record.text for record in log_records([block("a\n"), block("b\nc")])] == ["a\nb\nc"]


def test_another_level_begins_another_record() -> None:
    records = list(log_records([block("a"), block("b", 40), block("c", 40)]))
    assert [(record.level, record.text) for record in records] == [(20, "a"), (40, "b\nc")]


def test_a_long_block_is_cut_at_line_ends() -> None:
    lines = [f"line {number}" for number in range(20_000)]
    records = list(log_records([block("\n".join(lines))]))
    assert "\n".join(record.text for record in records).split("\n") == lines
    assert max(len(record.text) for record in records) <= RECORD_CHARACTERS


def test_a_line_longer_than_a_record_is_cut_within() -> None:
    records = list(log_records([block("x" * (RECORD_CHARACTERS * 2 + 5))]))
    assert [len(record.text) for record in records] == [RECORD_CHARACTERS, RECORD_CHARACTERS, 5]


def test_an_empty_log_needs_no_request() -> None:
    assert list(requests_of(log_records([]))) == []


def test_a_large_log_is_sent_in_several_requests() -> None:
    batches = list(requests_of(log_records([block("x" * 60_000)] * 50)))
    assert sum(len(batch) for batch in batches) == 50
    assert len(batches) > 1


def test_ordinary_parameters_are_left_alone() -> None:
    parameters = {"frames": 3, "path": "/x", "deep": {"a": [1, None, True]}}
    assert literal_parameters(parameters) == parameters


@pytest.mark.parametrize("hidden", [{"__prefect_kind": "jinja"}, [{"a": [{"__prefect_kind": "none"}]}]])
def test_g12_what_prefect_would_evaluate_is_wrapped_as_text(hidden: object) -> None:
    assert literal_parameters({"a": hidden})["a"] == {
        "__prefect_kind": "json",
        "value": json.dumps(hidden),
    }

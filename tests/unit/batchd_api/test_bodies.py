"""Bodies that are no JSON object are refused in one sentence."""

import json

import pytest

from batchd_api.bodies import parse_object
from batchd_api.errors import Invalid


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"not json",
        b"[]",
        b'"text"',
        b"5",
        b"null",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"b": {"a": 1, "a": 2}}',
        b'{"a": 1e400}',
        b'{"a": 1' + b"0" * 400 + b"}",
        b'{"a": 1' + b"0" * 5000 + b"}",
        b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"a": ' * 10_000 + b"1" + b"}" * 10_000,
        b'{"a": "\xff"}',
        b'{"a": 1}}',
        b"{'a': 1}",
    ],
)
def test_a_bad_body_is_refused_in_one_sentence(body):
    with pytest.raises(Invalid) as caught:
        parse_object(body)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_good_body_is_an_object():
    assert parse_object('\ufeff{"a": ["ä", 1, 1.5, null]}'.encode()) == {"a": ["ä", 1, 1.5, None]}


@pytest.mark.parametrize(
    "body", [{"a": "x" * 262_145}, {"a": list(range(1001))}, {"a": {"b": {str(n): n for n in range(1001)}}}]
)
def test_what_is_too_long_is_refused_wherever_it_stands(body):
    with pytest.raises(Invalid, match="more than"):
        parse_object(json.dumps(body).encode())


def test_f7_a_value_of_200_kb_is_taken():
    assert len(parse_object(json.dumps({"a": "x" * 200_000}).encode())["a"]) == 200_000

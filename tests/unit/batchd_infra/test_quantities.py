"""Durations and sizes as people write them."""

import pytest

from batchd_infra.quantities import bytes_of, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5 s", 1.5), ("5 min", 300), ("2h", 7200), (" 3 D ", 259200), ("100 ms", 0.1), ("0", 0)],
)
def test_a_duration_is_a_number_with_or_without_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 2**20),
        ("500M", 500 * 2**20),
        ("2G", 2**31),
        ("1.5 KiB", 1536),
        ("3 tb", 3 * 2**40),
    ],
)
def test_a_size_counts_in_powers_of_1024(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1,5", "ten", "5 parsecs", "1 2", "٣", "M"])
def test_anything_else_is_neither(text: str) -> None:
    assert seconds_of(text) is None
    assert bytes_of(text) is None

"""Progress from output: presets, expressions, bounds."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_flows.job_types import load_job_types
from batchd_flows.progress import MAX_TEXT, PRESETS, ProgressError, ProgressPattern, ProgressReader

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SAID = {
    "blender": ("Fra:5 Mem:12.0M | Time:00:01.20 | Remaining:00:02.1 | Scene | Sample 32/128", 25),
    "cmake": ("[ 45%] Building CXX object a.o", 45),
    "ffmpeg": ("  Duration: 00:01:40.00, start: 0\nframe= 12 fps=25 time=00:00:25.00 bitrate=1k", 25),
    "fraction": ("frame 3 / 4", 75),
    "handbrake": ("Encoding: task 1 of 1, 12.50 % (30.1 fps)", 12.5),
    "make": ("[  7%] Linking", 7),
    "ninja": ("[5/50] CC main.o", 10),
    "percent": ("done: 99.5%", 99.5),
    "pip": ("     ---- 5.0/20.0 MB 3.1 MB/s eta 0:00:05", 25),
    "pytest": ("tests/unit/test_a.py ........      [ 61%]", 61),
    "rsync": ("  1,238,099  12%  146.38kB/s    0:00:08 (xfr#5, to-chk=169/396)", 12),
    "tqdm": (" 40%|####      | 40/100 [00:04<00:06,  9.9it/s]", 40),
    "wget": ("  50K .......... .......... 33% 1.2M 0s", 33),
}


def reader(text: str) -> ProgressReader:
    return ProgressReader(ProgressPattern(text))


def test_every_preset_is_shown_here() -> None:
    assert SAID.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", sorted(SAID))
def test_a_preset_reads_its_tool(name: str) -> None:
    text, percent = SAID[name]
    found = reader(name).feed("stdout", b"beginning\n" + text.encode() + b"\n", NOW)
    assert found is not None
    assert found.percent == percent
    assert reader(name).feed("stdout", b"nothing of the kind\n", NOW) is None


def test_the_newest_line_counts_also_one_that_is_redrawn_or_not_ended() -> None:
    made = reader(r"(?P<n>\d+) of (?P<total>\d+)")
    found = made.feed("stdout", b"1 of 4\r2 of 4\r3 of 4", NOW)
    assert found is not None
    assert (found.percent, found.text) == (75, "3 of 4")


def test_a_line_may_come_in_pieces_and_each_stream_has_its_own() -> None:
    made = reader(r"(?P<percent>\d+) percent done")
    assert made.feed("stdout", b"5", NOW) is None
    assert made.feed("stderr", b"x percent done\n", NOW) is None
    found = made.feed("stdout", b"0 percent done\n", NOW)
    assert found is not None
    assert found.percent == 50


def test_the_time_left_comes_from_the_rate() -> None:
    made = reader("percent")
    first = made.feed("stdout", b"10%\n", NOW)
    assert first is not None
    assert first.eta is None
    second = made.feed("stdout", b"30%\n", NOW + timedelta(seconds=20))
    assert second is not None
    assert second.eta == NOW + timedelta(seconds=90)


def test_a_tool_that_begins_anew_has_a_new_rate() -> None:
    made = reader("percent")
    made.feed("stdout", b"90%\n", NOW)
    again = made.feed("stdout", b"0%\n", NOW + timedelta(seconds=90))
    assert again is not None
    assert again.eta is None
    later = made.feed("stdout", b"50%\n", NOW + timedelta(seconds=100))
    assert later is not None
    assert later.eta == NOW + timedelta(seconds=110)


@pytest.mark.parametrize(
    ("text", "said"),
    [("(", "no regular expression"), (r"(\d+)%", "must have a group"), (r"(?P<n>\d+)", "blender")],
)
def test_what_can_tell_nothing_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ProgressError, match=said):
        ProgressPattern(text)


def test_a_catastrophic_expression_costs_little_and_is_given_up() -> None:
    made = reader(r"(?P<percent>(x+x+)+)y%")
    began = time.process_time()
    for _ in range(50):
        assert made.feed("stdout", b"x" * 5000 + b"\n", NOW) is None
    assert time.process_time() - began < 5


def test_a_flood_of_lines_costs_little() -> None:
    made = reader("percent")
    flood = b"".join(b"line %d\n" % number for number in range(100_000)) + b"77%\n"
    began = time.process_time()
    found = made.feed("stdout", flood, NOW)
    assert time.process_time() - began < 2
    assert found is not None
    assert found.percent == 77


@given(st.lists(st.binary(max_size=300), max_size=5), st.sampled_from(sorted(PRESETS)))
def test_whatever_is_printed_gives_a_percentage_or_nothing(pieces: list[bytes], name: str) -> None:
    made = reader(name)
    for number, piece in enumerate(pieces):
        found = made.feed("stdout", piece, NOW + timedelta(seconds=number))
        assert found is None or (0 <= found.percent <= 100 and len(found.text) <= MAX_TEXT)


def test_a_job_type_with_a_bad_expression_is_a_problem_that_names_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "jobtypes"
    folder.mkdir()
    (folder / "a.yaml").write_text("name: a\ntemplate: 'true'\nprogress: '('\n")
    (folder / "b.yaml").write_text("name: b\ntemplate: 'true'\nprogress: ffmpeg\n")
    job_types, problems = load_job_types([tmp_path])
    (problem,) = problems
    assert "progress" in str(problem)
    assert "a" not in job_types
    assert job_types.get("b").progress == "ffmpeg"

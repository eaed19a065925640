"""Names that Prefect accepts, whatever people chose."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_flows.names import POOL_PREFIX, RUN_NAME_LENGTH, flow_name, pool_name, run_name, slug

names = st.text(min_size=1, max_size=70)


def test_a_plain_name_is_its_own_slug():
    assert slug("night-2") == "night-2"
    assert pool_name("night-2") == POOL_PREFIX + "night-2"


def test_another_name_keeps_its_letters_and_gets_a_hash():
    assert re.fullmatch(r"gpu-farm-[0-9a-f]{8}", slug("GPU farm"))
    assert re.fullmatch(r"[0-9a-f]{8}", slug("夜"))


@given(names)
def test_a_slug_is_plain_and_short(name):
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,48}", slug(name))
    assert not set(pool_name(name)) & set("/%&<>")


@given(names, names)
def test_no_two_names_meet(one, other):
    assert (slug(one) == slug(other)) == (one == other)


@given(names)
def test_a_flow_has_its_types_own_name_where_prefect_takes_it(name):
    assert not set(flow_name(name)) & set("/%&<>")
    assert set(name) & set("/%&<>") or flow_name(name) == name


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["shot_03.blend"], "#17 blender shot_03.blend"),
        ([], "#17 blender"),
        (["", "a\n b\t c"], "#17 blender a b c"),
    ],
)
def test_a_run_is_named_by_its_job_first(values, name):
    assert run_name(17, "blender", values) == name


@given(st.integers(1), names, st.lists(st.text()))
def test_a_runs_name_is_one_line_and_never_too_long(job_id, type_name, values):
    name = run_name(job_id, type_name, values)
    assert len(name) <= RUN_NAME_LENGTH
    assert name.startswith(f"#{job_id}")

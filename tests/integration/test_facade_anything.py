"""Whatever is sent to any path, by anybody: no fault, and no code that the description does not name."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchd_api.routes.table import ROUTES

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "name",
        "type",
        "params",
        "host_name",
        "start_time",
        "notes",
        "status",
        "priority",
        "move",
        "working_directory",
        "enabled",
        "title",
        "weekdays",
        "time",
        "schedule_name",
        "autostart_job_count",
        "max_jobs",
        "permission",
        "queue_name",
    ]
)
QUERIES = st.dictionaries(
    st.sampled_from(
        [
            "status",
            "forced",
            "limit",
            "after",
            "user",
            "since",
            "stream",
            "attempt",
            "offset",
            "count",
            "dry_run",
        ]
    ),
    st.sampled_from(["", "all", "true", "1", "-1", "x", "9" * 30, "2026-11-24T00:00:00Z", "\ud7ff"]),
    max_size=3,
)
PARTS = st.sampled_from(
    ["default", "gone", "1", "2", "0", "9" * 25, "%2f", "..%2fx", "%00", "%ff", "%F0%9F%98%80"]
)
NOT_ENDING = "/job/{job_id}/stream"


@pytest.mark.parametrize("name", ["root", "nobody", None])
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    route=st.sampled_from([r for r in ROUTES if r.path != NOT_ENDING and not r.path.startswith("/user")]),
    part=PARTS,
    body=st.dictionaries(KEYS, VALUES, max_size=5),
    query=QUERIES,
)
def test_no_request_meets_a_fault_or_an_undocumented_code(facade, name, route, part, body, query):
    described = facade.app.openapi()["paths"][route.path][route.method.lower()]["responses"]
    path = route.path
    for key in ("name", "job_id", "seq", "type_name", "permission_id"):
        path = path.replace(f"{{{key}}}", part)
    with facade.client(name) as client:
        answer = client.request(route.method, path, params=query, json=body)
    assert answer.status_code < 500, (route, answer.text)
    assert str(answer.status_code) in described, (route, answer.status_code)

"""The API's own description."""

from __future__ import annotations

from typing import Any

import pytest

from batchd_api.documentation import EXAMPLES
from batchd_api.documented_answers import ANSWERS, MEDIA_TYPES, MORE_CODES, REFUSES_BY_STATE
from batchd_api.documented_fields import BODIES, HEADERS, QUERIES
from batchd_api.permissions import Scope
from batchd_api.routes.table import ROUTES, Route
from tests.facade import enqueue

NEVER_ENDING = "/job/{job_id}/stream"
# A tree's words and a dictionary's queues are data, not names of fields.
NAMED_BY_DATA = {"/stats", "/stats/{name}", "/openapi.json", *(r.path for r in ROUTES if "tree" in r.path)}
STORED = {"/monitor/{name}/last", "/monitor/{prefix}/query", "/monitor/jobs"}


@pytest.fixture
def paths(root: Any) -> Any:
    return root.get("/openapi.json").json()["paths"]


def test_every_route_is_described_with_examples(paths: Any) -> None:
    for route in ROUTES:
        described = paths[route.path][route.method.lower()]
        (content,) = described["responses"]["200"]["content"].values()
        assert ("example" in content) is ((route.method, route.path) not in MEDIA_TYPES), route
        if (example := EXAMPLES.get((route.method, route.path))) is not None:
            assert described["requestBody"]["content"]["application/json"]["example"] == example


def test_a_route_names_the_codes_that_it_can_answer_and_no_others(paths: Any) -> None:
    def codes(method: str, path: str) -> set[str]:
        return set(paths[path][method.lower()]["responses"])

    assert codes("OPTIONS", "/") == {"200", "400"}
    assert codes("GET", "/health") == {"200", "400", "503"}
    assert codes("GET", "/type") == {"200", "400", "401", "503"}
    assert codes("GET", "/queue/{name}/jobs") == {"200", "304", "400", "401", "403", "404", "503"}
    assert codes("POST", "/queue") == {"200", "400", "401", "403", "409", "413", "503", "507"}
    assert codes("DELETE", "/job/{job_id}") == {"200", "400", "401", "403", "404", "503", "507"}
    for route in ROUTES:
        described = codes(route.method, route.path)
        assert ("401" in described) is (route.access.scope is not Scope.OPEN), route
        assert ("413" in described) is ((route.method, route.path) in BODIES), route
        assert not described & {"405", "422", "500"}, route


def test_no_framework_says_what_we_never_answer(root: Any, paths: Any) -> None:
    assert "422" not in {
        code for methods in paths.values() for one in methods.values() for code in one["responses"]
    }


def test_what_is_described_beside_the_routes_belongs_to_one() -> None:
    known = {(route.method, route.path) for route in ROUTES}
    assert {*BODIES, *QUERIES, *HEADERS, *ANSWERS, *MEDIA_TYPES, *MORE_CODES, *REFUSES_BY_STATE} <= known
    assert BODIES.keys() == EXAMPLES.keys()
    for key, (fields, required) in BODIES.items():
        assert set(required) <= EXAMPLES[key].keys() <= fields.keys(), key


def shape(value: Any) -> Any:
    """Which keys there are, of a list's first element too."""
    if isinstance(value, dict):
        return {key: shape(inner) if key == "params" and isinstance(inner, list) else None
                for key, inner in value.items()}  # fmt: skip
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


def assert_named(example: Any, answer: Any) -> None:
    """What the example names is there, in the same form."""
    if isinstance(example, list) and isinstance(answer, list):
        assert_named(example[0], answer[0])
    elif isinstance(example, dict) and isinstance(answer, dict):
        assert example.keys() <= answer.keys()
    else:
        assert example == answer


@pytest.mark.parametrize(
    "route",
    [
        r
        for r in ROUTES
        if r.method == "GET"
        and (r.method, r.path) in ANSWERS
        and r.path not in STORED
        and r.access.scope is not Scope.ATTEMPT
    ],
    ids=lambda route: route.path,
)
def test_an_example_has_the_keys_of_the_answer(here: Any, root: Any, queue: str, route: Route) -> None:
    schedule = f"s {queue}"
    window = {"name": schedule, "time": [{"begin": "22:00:00", "end": "06:00:00"}]}
    root.post("/schedule", json=window).raise_for_status()
    job = enqueue(root, queue)
    here.attempt(job, state="ended", stdout=[b"hello\n"])
    root.put(f"/queue/{queue}", json={"schedule_name": schedule}).raise_for_status()
    names = {"/schedule": schedule, "/type": "command", "/user": "root", "/host": "farm"}
    name = next((given for prefix, given in names.items() if route.path.startswith(prefix)), queue)
    values = {"name": name, "job_id": job, "type_name": "command", "prefix": "batchd.jobs"}
    answer = root.get(route.path.format_map(values), params={"status": "all"})
    assert answer.status_code == 200
    if route.path not in NAMED_BY_DATA:
        assert_named(shape(ANSWERS["GET", route.path]), shape(answer.json()))


def test_the_page_needs_no_outside_address(root: Any) -> None:
    page = root.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "://" not in page.text

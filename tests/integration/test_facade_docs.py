"""The API's own description."""

from batchd_api.documentation import EXAMPLES, SENTENCES
from batchd_api.documented_fields import BODIES, HEADERS, QUERIES
from batchd_api.routes.table import ROUTES


def test_every_route_is_described_with_its_errors_and_examples(root):
    paths = root.get("/openapi.json").json()["paths"]
    for route in ROUTES:
        described = paths[route.path][route.method.lower()]
        assert {str(code) for code in (200, *SENTENCES)} <= set(described["responses"]), route
        if (example := EXAMPLES.get((route.method, route.path))) is not None:
            assert described["requestBody"]["content"]["application/json"]["example"] == example


def test_what_is_described_beside_the_routes_belongs_to_one():
    known = {(route.method, route.path) for route in ROUTES}
    assert {*BODIES, *QUERIES, *HEADERS} <= known
    assert BODIES.keys() == EXAMPLES.keys()
    for key, (fields, required) in BODIES.items():
        assert set(required) <= EXAMPLES[key].keys() <= fields.keys(), key


def test_the_page_needs_no_outside_address(root):
    page = root.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "://" not in page.text

"""What the API's description allows is sent by everybody: no fault, and no code that it does not name."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from batchd_api.routes.table import ROUTES, Route
from tests.facade import Facade, enqueue, running
from tests.ground import installation

NEVER_ENDING = "/job/{job_id}/stream"
EXISTING = {"name": "default", "job_id": "1", "seq": "1", "type_name": "command", "permission_id": "1"}
EXISTING["prefix"] = "batchd.jobs"
SETTINGS = settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A facade of its own: what is sent here changes and deletes."""
    url = f"sqlite:///{tmp_path_factory.mktemp('described') / 'batchd.db'}"
    with installation(url) as here, running(here) as facade:
        facade.users.create("root", "secret", superuser=True)
        facade.users.create("nobody", "secret")
        schema = schemathesis.openapi.from_dict(facade.app.openapi())
        schema.config.update(base_url=f"http://127.0.0.1:{facade.port}")
        yield facade, schema


@pytest.mark.parametrize("name", ["root", "nobody", None])
@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.path != NEVER_ENDING],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_no_described_request_meets_a_fault_or_an_unnamed_code(
    described: tuple[Facade, Any], route: Route, name: str | None
) -> None:
    facade, schema = described
    operation = schema[route.path][route.method]
    with facade.client() as root:
        root.post("/queue", json={"name": "default"})
        enqueue(root, "default")

    @SETTINGS
    @given(case=operation.as_strategy(), exists=st.booleans())
    def send(case: Any, exists: bool) -> None:
        if exists:
            case.path_parameters = {key: EXISTING[key] for key in case.path_parameters or {}}
        auth = None if name is None else (name, "secret")
        case.call_and_validate(auth=auth, checks=[not_a_server_error, status_code_conformance])

    send()

"""What the API's description allows is sent by everybody: no fault, and no code that it does not name."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from batchd_api.permissions import Grant, Right
from batchd_api.routes.table import ROUTES, Route
from batchd_api.services.users import grant
from tests.facade import Facade, enqueue, running
from tests.ground import installation

NEVER_ENDING = "/job/{job_id}/stream"
EXISTING = {"name": "default", "job_id": "1", "seq": "1", "type_name": "command", "permission_id": "1"}
EXISTING |= {"prefix": "batchd.jobs", "attempt_id": "1"}
SETTINGS = settings(max_examples=24, deadline=None, database=None, suppress_health_check=list(HealthCheck))
WRONG = "somebody with a wrong password"
KINDS = ["root", "nobody", None, WRONG, *(f"only-{right}" for right in Right), "tied"]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A facade of its own: what is sent here changes and deletes."""
    url = f"sqlite:///{tmp_path_factory.mktemp('described') / 'batchd.db'}"
    with installation(url) as here, running(here) as facade:
        facade.users.create("root", "secret", superuser=True)
        for name in ("nobody", "tied", *(f"only-{right}" for right in Right)):
            facade.users.create(name, "secret")
        with here.database.write() as connection:
            for right in Right:
                grant(connection, f"only-{right}", Grant(right=right))
            grant(connection, "tied", Grant(right=Right.CREATE_JOBS, queue_name="default"))
        schema = schemathesis.openapi.from_dict(facade.app.openapi())
        schema.config.update(base_url=f"http://127.0.0.1:{facade.port}")
        yield facade, schema


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.path != NEVER_ENDING],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_no_described_request_meets_a_fault_or_an_unnamed_code(
    described: tuple[Facade, Any], route: Route
) -> None:
    facade, schema = described
    operation = schema[route.path][route.method]
    with facade.client() as root:
        root.post("/queue", json={"name": "default"})
        enqueue(root, "default")

    @SETTINGS
    @given(case=operation.as_strategy(), exists=st.booleans(), name=st.sampled_from(KINDS))
    def send(case: Any, exists: bool, name: str | None) -> None:
        if exists:
            case.path_parameters = {key: EXISTING[key] for key in case.path_parameters or {}}
        auth = None if name is None else (name, "wrong" if name == WRONG else "secret")
        case.call_and_validate(auth=auth, checks=[not_a_server_error, status_code_conformance])

    send()

"""A running facade for the tests that speak HTTP to it."""

import uuid

import pytest

from tests.facade import running
from tests.ground import installation

ORIGINS = ("https://web.example/", "https://other.example")


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def facade(request, tmp_path_factory):
    """On PostgreSQL too, in the slow tier."""
    url = f"sqlite:///{tmp_path_factory.mktemp('facade') / 'batchd.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    with installation(url) as here, running(here, allowed_origins=ORIGINS) as facade:
        facade.users.create("root", "secret", superuser=True)
        facade.users.create("nobody", "secret")
        yield facade


@pytest.fixture
def here(facade):
    return facade.here


@pytest.fixture
def root(facade):
    with facade.client() as client:
        yield client


@pytest.fixture
def anonymous(facade):
    with facade.client(None) as client:
        yield client


@pytest.fixture
def queue(root):
    """A queue of the test's own."""
    name = f"queue {uuid.uuid4().hex}"
    assert root.post("/queue", json={"name": name}).json() == name
    return name

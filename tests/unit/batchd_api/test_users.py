"""Users and their passwords."""

import pytest

from batchd_api.errors import AlreadyExists, Invalid, UserNotFound
from batchd_api.permissions import SUPERUSER, Grant, Right
from batchd_api.services.users import Users, grant
from tests.ground import quick_passwords


@pytest.fixture
def users(here):
    return Users(here.database, quick_passwords(), here.ground.clock)


def test_a_password_is_kept_as_an_argon2_hash(users):
    users.create("ann", "geheim ä")
    account = users.find("ann")
    assert account.password_hash.startswith("$argon2id$")
    assert users.verify(account, "geheim ä")
    assert not users.verify(account, "geheim")


def test_nobody_has_no_password(users):
    assert users.find("nobody") is None
    assert users.find("a\0") is None
    assert not users.verify(None, "")


def test_grants_come_with_the_user(here, users):
    users.create("root", "x", superuser=True)
    users.create("ann", "x")
    with here.database.write() as connection:
        grant(connection, "ann", Grant(right=Right.VIEW_JOBS, queue_name="default"))
    assert users.find("root").grants == SUPERUSER
    assert users.find("ann").grants == (Grant(right=Right.VIEW_JOBS, queue_name="default"),)


def test_a_password_can_be_changed(users):
    users.create("ann", "old")
    users.set_password("ann", "new")
    assert users.verify(users.find("ann"), "new")
    with pytest.raises(UserNotFound):
        users.set_password("nobody", "new")


@pytest.mark.parametrize(("name", "password"), [("a:b", "x"), ("", "x"), ("ann", ""), ("ann", "\ud800")])
def test_a_user_needs_a_name_and_a_password(users, name, password):
    with pytest.raises(Invalid):
        users.create(name, password)


def test_a_name_is_taken_once(users):
    users.create("ann", "x")
    with pytest.raises(AlreadyExists):
        users.create("ann", "y")

"""Hashes of passwords: what matches, and that a check tells nothing by what it costs."""

from hashlib import sha3_256

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from batchd_api.errors import Invalid
from batchd_api.services.passwords import MAX_PASSWORD_LENGTH, Passwords, cut, legacy_hash
from tests.ground import quick_passwords

STATIC, SALT = "static", "s$a lt"


class Counting(PasswordHasher):
    count = 0

    def verify(self, stored, password):
        if stored.startswith("$argon2"):  # else it refuses without computing anything
            self.count += 1
        return super().verify(stored, password)


@pytest.fixture
def hasher():
    return Counting(time_cost=1, memory_cost=8, parallelism=1)


def old_hash(password):
    return legacy_hash(sha3_256(f"{password}{SALT}{STATIC}".encode()).hexdigest(), SALT)


@pytest.mark.parametrize("check", [Passwords.verify, Passwords.verify_cut])
@pytest.mark.parametrize("kind", ["nobody", "ours", "wide", "old", "unusable"])
def test_g3_a_wrong_password_costs_one_computation_whatever_the_hash(hasher, kind, check):
    passwords = Passwords(hasher, static_salt=STATIC)
    stored = {"nobody": None, "ours": passwords.hash("right"), "wide": passwords.hash("пароль"),
              "old": old_hash("right"), "unusable": "!"}[kind]  # fmt: skip
    hasher.count = 0
    assert not check(passwords, stored, "wrong")
    assert hasher.count == 1


def test_g14_an_old_hash_is_of_password_own_salt_and_static_salt():
    with_salt = Passwords(static_salt=STATIC, hasher=quick_passwords()._hasher)
    assert with_salt.verify(old_hash("geheim ä"), "geheim ä")
    assert not with_salt.verify(old_hash("geheim ä"), "geheim")
    assert not quick_passwords().verify(old_hash("geheim ä"), "geheim ä")


@given(st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()))
def test_a_password_matches_whole_and_as_the_old_command_line_cuts_it(password):
    passwords = quick_passwords()
    stored = passwords.hash(password)
    assert passwords.verify(stored, password)
    assert passwords.verify_cut(stored, cut(password))
    assert passwords.verify(stored, cut(password)) is (cut(password) == password)


@pytest.mark.parametrize("password", ["", "x" * (MAX_PASSWORD_LENGTH + 1), "\ud800"])
def test_what_can_be_no_password_is_refused(password):
    with pytest.raises(Invalid):
        quick_passwords().hash(password)

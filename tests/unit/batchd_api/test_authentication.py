"""Who a request is from."""

import base64
from statistics import median
from time import thread_time

import pytest
from argon2 import PasswordHasher
from sqlalchemy import update
from starlette.datastructures import Headers

from batchd_api.authentication import MAX_DELAY_SECONDS, Authenticator, basic_credentials
from batchd_api.db.tables import users as users_table
from batchd_api.errors import Invalid, LoginDelayed, NotAuthenticated
from batchd_api.permissions import SUPERUSER
from batchd_api.services.passwords import Passwords, legacy_hash
from batchd_api.services.users import Users
from tests.facade import options
from tests.ground import quick_passwords

PEER = "10.0.0.7"
PROXY = "127.0.0.1"


class Counting(Users):
    checks = 0

    def verify(self, account, password, **how):
        self.checks += 1
        return super().verify(account, password, **how)


@pytest.fixture
def users(here):
    users = Counting(here.database, quick_passwords(), here.ground.clock)
    users.create("ann", "geheimä")
    users.create("root", "secret", superuser=True)
    return users


@pytest.fixture
def time():
    return [1000.0]


@pytest.fixture
def authenticator(users, time):
    return Authenticator(options(), users, lambda: time[0])


def basic(name, password, encoding="utf-8"):
    token = base64.b64encode(f"{name}:{password}".encode(encoding)).decode()
    return Headers({"Authorization": f"Basic {token}"})


def said(*names):
    return Headers(raw=[(b"x-auth-user", name.encode()) for name in names])


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_credentials_are_tried_as_utf8_and_as_latin1(authenticator, encoding):
    assert authenticator.identify(basic("ann", "geheimä", encoding), PEER).name == "ann"


@pytest.mark.parametrize(
    "headers",
    [basic("ann", "wrong"), basic("nobody", "x"), basic("", ""), basic("a\0", "x"), Headers({}),
     Headers({"Authorization": "Basic !!!"}), Headers({"Authorization": "Basic YQ=="}),
     Headers({"Authorization": "Bearer x"}), Headers({"Authorization": ""}), said("root")],
)  # fmt: skip
def test_anything_else_is_not_authenticated(authenticator, headers):
    with pytest.raises(NotAuthenticated):
        authenticator.identify(headers, PEER)


def test_a_password_may_hold_colons():
    assert [c.password for c in basic_credentials(basic("a", "b:c")["authorization"])] == ["b:c"]


def test_a_right_password_is_checked_once_a_minute(authenticator, users, time):
    for _ in range(3):
        authenticator.identify(basic("root", "secret"), PEER)
    assert users.checks == 1
    time[0] += 61
    authenticator.identify(basic("root", "secret"), PEER)
    assert users.checks == 2


def test_a_changed_password_is_not_remembered(authenticator, users):
    authenticator.identify(basic("root", "secret"), PEER)
    users.set_password("root", "other")
    with pytest.raises(NotAuthenticated):
        authenticator.identify(basic("root", "secret"), PEER)


def test_g3_an_unknown_user_costs_as_many_checks_as_a_wrong_password(authenticator, users):
    for name in ("nobody", "ann"):
        before = users.checks
        with pytest.raises(NotAuthenticated):
            authenticator.identify(basic(name, "wrong"), PEER)
        assert users.checks == before + 1


@pytest.mark.sqlite_only(reason="it times passwords, not databases")
@pytest.mark.parametrize("old_hash", [False, True])
def test_g3_an_unknown_user_takes_as_long_as_a_wrong_password(here, users, old_hash):
    """30 of each in turn, in the thread's own time, so that other programs do not count; the best of some."""
    slow = Passwords(PasswordHasher(time_cost=1, memory_cost=4096, parallelism=1))
    users = Users(here.database, slow, here.ground.clock)
    users.set_password("ann", "right")
    if old_hash:
        with here.database.write() as connection:
            connection.execute(update(users_table).values(password_hash=legacy_hash("0" * 64, "salt")))
    authenticator = Authenticator(options(), users)

    def seconds(name, number):
        began = thread_time()
        with pytest.raises(NotAuthenticated):
            authenticator.identify(basic(name, "wrong"), f"10.1.{number}.1")  # nobody is slowed down
        return thread_time() - began

    ratios = []
    for round_number in range(5):
        pairs = [
            (seconds("ann", n), seconds("nobody", n))
            for n in range(40 * round_number, 40 * round_number + 30)
        ]
        known, unknown = (median(times) for times in zip(*pairs, strict=True))
        ratios.append(abs(known / unknown - 1))
        if ratios[-1] <= 0.15:
            break
    assert min(ratios) <= 0.15, ratios


def fail(authenticator, count, *, name="ann", peer=PEER):
    delays = []
    for _ in range(count):
        with pytest.raises(NotAuthenticated) as caught:
            authenticator.identify(basic(name, "wrong"), peer)
        delays.append(getattr(caught.value, "retry_after_seconds", 0))
    return delays


def test_after_five_failures_each_try_has_to_wait_longer(authenticator, users):
    delays = fail(authenticator, 20)
    assert delays[:5] == [0] * 5
    assert delays[5:] == sorted(set(delays[5:]))
    assert users.checks == 5


def test_the_right_password_works_after_the_delay(authenticator, time):
    delay = fail(authenticator, 20)[-1]
    with pytest.raises(LoginDelayed) as caught:
        authenticator.identify(basic("ann", "geheimä"), PEER)
    assert caught.value.retry_after_seconds > delay
    time[0] += caught.value.retry_after_seconds
    assert authenticator.identify(basic("ann", "geheimä"), PEER).name == "ann"
    assert fail(authenticator, 5)[-1] == 0


def test_other_users_and_addresses_are_not_slowed_down(authenticator):
    fail(authenticator, 10)
    assert authenticator.identify(basic("root", "secret"), PEER).name == "root"
    assert authenticator.identify(basic("ann", "geheimä"), "10.0.0.8").name == "ann"


def test_the_delay_has_an_end(authenticator):
    assert fail(authenticator, 200)[-1] == MAX_DELAY_SECONDS


def test_a_request_without_credentials_is_no_failed_login(authenticator):
    for _ in range(20):
        with pytest.raises(NotAuthenticated):
            authenticator.identify(Headers({}), PEER)
    assert authenticator.identify(basic("ann", "geheimä"), PEER).name == "ann"


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (Headers({}), "anonymous"),
        (said("bob"), "bob"),
        (said(""), "anonymous"),
        (basic("bob", "any"), "bob"),
        (basic("", "any"), "anonymous"),
        (basic("None", "None"), "anonymous"),
        (basic("a\nb", "any"), "a\ufffdb"),
        (Headers(raw=[(b"x-auth-user", "björn".encode())]), "björn"),
        (Headers(raw=[(b"x-auth-user", "björn".encode("latin-1"))]), "björn"),
    ],
)
def test_without_authentication_everyone_is_a_superuser_by_the_name_he_says(users, headers, name):
    caller = Authenticator(options(auth_disabled=True), users).identify(headers, PEER)
    assert (caller.name, caller.grants) == (name, SUPERUSER)


def test_the_old_command_lines_cut_credentials_are_known(authenticator, users):
    users.create("Ж", "пароль")
    cut = "".join(chr(ord(c) & 0xFF) for c in "Ж:пароль").encode("latin-1")
    headers = Headers({"Authorization": f"Basic {base64.b64encode(cut).decode()}"})
    assert authenticator.identify(headers, PEER).name == "Ж"


class TestHeaderMode:
    @pytest.fixture
    def authenticator(self, users):
        return Authenticator(options(basic=True, header=True), users)

    def test_a_trusted_proxys_user_needs_no_password(self, authenticator):
        assert authenticator.identify(said("ann"), PROXY).name == "ann"
        assert authenticator.identify(said("ann"), "::1").name == "ann"
        assert authenticator.identify(said("ann"), "::ffff:127.0.0.1").name == "ann"

    def test_basic_credentials_beside_it_are_ignored(self, authenticator):
        both = Headers(raw=[*said("ann").raw, *basic("root", "secret").raw])
        assert authenticator.identify(both, PROXY).name == "ann"
        assert authenticator.identify(both, PEER).name == "root"

    @pytest.mark.parametrize("peer", [PEER, None, "unix:"])
    def test_from_elsewhere_the_header_is_nothing(self, authenticator, peer):
        with pytest.raises(NotAuthenticated):
            authenticator.identify(said("root"), peer)

    def test_an_unknown_user_is_not_authenticated(self, authenticator):
        with pytest.raises(NotAuthenticated):
            authenticator.identify(said("nobody"), PROXY)

    def test_the_header_twice_is_refused(self, authenticator):
        with pytest.raises(Invalid, match="twice"):
            authenticator.identify(said("ann", "root"), PROXY)

    def test_another_spelling_is_another_header(self, authenticator):
        with pytest.raises(NotAuthenticated):
            authenticator.identify(Headers({"x_auth_user": "root"}), PROXY)


@pytest.mark.parametrize(
    ("fields", "methods"),
    [({}, ["basic"]), ({"header": True}, ["basic", "header"]), ({"basic": False, "header": True}, ["header"]),
     ({"auth_disabled": True}, [])],
)  # fmt: skip
def test_the_methods_are_what_is_switched_on(users, fields, methods):
    assert Authenticator(options(**fields), users).methods() == methods

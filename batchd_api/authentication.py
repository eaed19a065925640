"""Who sends a request: HTTP basic against our users, or a name from a proxy that has authenticated it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers

from batchd_api.answers import printable
from batchd_api.errors import Invalid, LoginDelayed, NotAuthenticated
from batchd_api.options import FacadeOptions
from batchd_api.permissions import SUPERUSER, Caller
from batchd_api.services.users import Account, Users

ANONYMOUS = "anonymous"
NOBODY = "None"  # name and password that the Python library sends when it has none
USER_HEADER = "x-auth-user"
REMEMBERED_SECONDS = 60
FREE_FAILURES = 5
MAX_DELAY_SECONDS = 60
FORGOTTEN_AFTER_SECONDS = 15 * 60
MAX_ENTRIES = 10_000
MAX_SHOWN = 200  # characters of a name in the log

log = logging.getLogger(__name__)

Monotonic = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Credentials:
    name: str
    password: str


Candidate = tuple[Credentials, Account | None]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Of a login: the name as it was sent, and the address."""

    name: str
    address: str

    @classmethod
    def of(cls, name: str, peer: str | None) -> _Source:
        return cls(name=name, address=peer or "an unknown address")

    @property
    def key(self) -> bytes:
        """What failures are counted by: of bounded length, and one for all addresses of an IPv6 network."""
        address = _address(self.address)
        if isinstance(address, ipaddress.IPv6Address):
            where = str(ipaddress.ip_network((address, 64), strict=False))
        else:
            where = str(address)
        name = self.name.encode("utf-8", "surrogatepass")
        return hashlib.sha256(name).digest() + where.encode()

    def log(self, error: NotAuthenticated) -> None:
        how = "refused unchecked, too many failures" if isinstance(error, LoginDelayed) else "failed"
        log.warning('a login as "%s" from %s: %s', printable(self.name)[:MAX_SHOWN], self.address, how)


class Authenticator:
    """Blocking: a check of a password takes a tenth of a second."""

    def __init__(self, options: FacadeOptions, users: Users, monotonic: Monotonic = time.monotonic) -> None:
        self._options = options
        self._users = users
        self._trusted = [ipaddress.ip_network(text, strict=False) for text in options.trusted_proxies]
        self._remembered = RememberedLogins(monotonic)
        self._failures = FailedLogins(monotonic)
        # Each check takes 64 MiB and some cores; and guesses that come all at once must count like others.
        self._slots = threading.BoundedSemaphore(os.cpu_count() or 1)

    def methods(self) -> list[str]:
        """What `OPTIONS /` lists."""
        if self._options.auth_disabled:
            return []
        offered = {"basic": self._options.basic, "header": self._options.header}
        return [name for name, on in offered.items() if on]

    def identify(self, headers: Headers, peer: str | None) -> Caller:
        """Raises NotAuthenticated. `peer` is the address that the connection comes from."""
        return self.recall(headers, peer) or self.verify(headers, peer)

    def recall(self, headers: Headers, peer: str | None) -> Caller | None:
        """Whoever is known without a check of a password; None: `verify` has to find out. Raises as well."""
        given = basic_credentials(headers.get("authorization"))
        if self._options.auth_disabled:
            return Caller(name=self._said_name(headers, given), grants=SUPERUSER)
        if self._options.header and self._is_trusted(peer) and (name := _user_header(headers)):
            return self._named(name, peer)
        if not (self._options.basic and given):
            raise NotAuthenticated
        found = self._recall(self._candidates(given))
        return _caller(found) if found else None

    def verify(self, headers: Headers, peer: str | None) -> Caller:
        """By name and password. Slow."""
        given = basic_credentials(headers.get("authorization"))
        source = _Source.of(given[0].name, peer)
        try:
            with self._slots:
                return _caller(self._verify(given, source))
        except NotAuthenticated as error:
            source.log(error)
            raise

    def _named(self, name: bytes, peer: str | None) -> Caller:
        account = next(filter(None, map(self._users.find, _decodings(name))), None)
        if account is None:
            error = NotAuthenticated()
            _Source.of(_decodings(name)[0], peer).log(error)
            raise error
        return _caller(account)

    def _candidates(self, given: list[Credentials]) -> list[Candidate]:
        return [(credentials, self._users.find(credentials.name)) for credentials in given]

    def _recall(self, candidates: list[Candidate]) -> Account | None:
        for credentials, account in candidates:
            if account and self._remembered.knows(credentials, account):
                return account
        return None

    def _verify(self, given: list[Credentials], source: _Source) -> Account:
        """How many checks a failure takes depends on what was sent, never on whether there is such a user."""
        candidates = self._candidates(given)
        # The last is the only one without a loss; cut names and passwords are bytes, as Latin-1 has them.
        cut = given[-1], self._users.find_cut(given[-1].name)
        if account := self._recall([*candidates, cut]):
            return account  # another thread has just checked it
        self._failures.check(source.key)
        for credentials, account in candidates:
            if self._users.verify(account, credentials.password) and account:
                return self._passed(credentials, account, source)
        if self._users.are_wide():
            credentials, account = cut
            if self._users.verify(account, credentials.password, as_cut=True) and account:
                return self._passed(credentials, account, source)
        self._failures.add(source.key)
        raise NotAuthenticated

    def _passed(self, credentials: Credentials, account: Account, source: _Source) -> Account:
        account = self._users.modernized(account, credentials.password)
        self._failures.forget(source.key)
        self._remembered.add(credentials, account)
        return account

    def _said_name(self, headers: Headers, given: list[Credentials]) -> str:
        """Without authentication people are who they say they are."""
        header = _user_header(headers)
        if header:
            return _presentable(_decodings(header)[0])
        if given and given[0].name and (given[0].name, given[0].password) != (NOBODY, NOBODY):
            return _presentable(given[0].name)
        return ANONYMOUS

    def _is_trusted(self, peer: str | None) -> bool:
        address = _address(peer or "")
        return address is not None and any(address in network for network in self._trusted)


class RememberedLogins:
    """Logins that were right a moment ago, so that a script pays for Argon2 once. Keeps no password."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def knows(self, credentials: Credentials, account: Account) -> bool:
        with self._lock:
            return self._until.get(self._mark(credentials, account), 0) > self._monotonic()

    def add(self, credentials: Credentials, account: Account) -> None:
        with self._lock:
            self._until[self._mark(credentials, account)] = self._monotonic() + REMEMBERED_SECONDS
            if len(self._until) > MAX_ENTRIES:
                self._until.popitem(last=False)

    def _mark(self, credentials: Credentials, account: Account) -> bytes:
        # With the hash in it, a changed password is forgotten at once.
        parts = (credentials.name, credentials.password, account.password_hash)
        text = b"".join(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest() for part in parts)
        return hmac.digest(self._key, text, "sha256")


@dataclass(kw_only=True)
class _Failures:
    count: int = 0
    last: float = 0.0


class FailedLogins:
    """Slows down guessing: after five failures of one user from one address, each next one waits longer."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures: OrderedDict[bytes, _Failures] = OrderedDict()

    def check(self, source: bytes) -> None:
        """Raises LoginDelayed while the source has to wait; trying meanwhile makes it wait longer."""
        with self._lock:
            found = self._failures.get(source)
            if found is None or found.count < FREE_FAILURES:
                return
            if self._monotonic() >= found.last + _delay_seconds(found.count):
                return
            self._count(source)
            raise LoginDelayed(_delay_seconds(found.count))

    def add(self, source: bytes) -> None:
        with self._lock:
            self._count(source)

    def forget(self, source: bytes) -> None:
        with self._lock:
            self._failures.pop(source, None)

    def _count(self, source: bytes) -> None:
        now = self._monotonic()
        found = self._failures.pop(source, None)
        if found is None or now - found.last > FORGOTTEN_AFTER_SECONDS:
            found = _Failures()
        found.count, found.last = found.count + 1, now
        self._failures[source] = found
        if len(self._failures) > MAX_ENTRIES:
            self._failures.popitem(last=False)


def _delay_seconds(count: int) -> int:
    return min(MAX_DELAY_SECONDS, count - FREE_FAILURES + 1)


def basic_credentials(header: str | None) -> list[Credentials]:
    """What a basic header may mean: UTF-8 first, then Latin-1. Empty when it means nothing."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        raw = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return []
    pairs = [text.partition(":") for text in _decodings(raw) if ":" in text]
    return [Credentials(name=name, password=password) for name, _, password in pairs]


def _decodings(raw: bytes) -> list[str]:
    try:
        texts = [raw.decode("utf-8"), raw.decode("latin-1")]
    except UnicodeDecodeError:
        texts = [raw.decode("latin-1")]
    return list(dict.fromkeys(texts))


def _user_header(headers: Headers) -> bytes:
    given = headers.getlist(USER_HEADER)
    if len(given) > 1:
        raise Invalid("The header X-Auth-User was sent twice.")
    return given[0].encode("latin-1") if given else b""


def _address(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for a peer without one, as on a socket in the file system."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _presentable(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def _caller(account: Account) -> Caller:
    return Caller(name=account.name, grants=account.grants)

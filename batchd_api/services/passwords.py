"""Password hashes: Argon2id for what is set here, SHA3 for what comes from an old installation.

What stands in `users.password_hash`:

- `$argon2id$…`;
- two of them with a space between. The old command line cuts every code point of a login to 8 bits; where
  that changes the password, the second is the hash of the password so cut;
- `$sha3-256$HEX$SALT`: replaced by the first form at the first login.
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha3_256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from batchd_api.errors import Invalid

LEGACY_PREFIX = "$sha3-256$"
MAX_PASSWORD_LENGTH = 1024


class Passwords:
    """A check costs one Argon2 computation, whether there is such a user or not, and whatever hash it has.

    `static_salt` is the old installation's; its hashes are of password, the user's own salt and this.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, static_salt: str | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._static_salt = static_salt or ""
        self._nobodys_hash = self._hasher.hash(os.urandom(16).hex())

    def hash(self, password: str) -> str:
        if not password:
            raise Invalid("A password cannot be empty.")
        if len(password) > MAX_PASSWORD_LENGTH:
            raise Invalid(f"A password has at most {MAX_PASSWORD_LENGTH} characters.")
        try:
            whole = self._hasher.hash(password)
        except UnicodeEncodeError:
            raise Invalid("The password has a character that is no text.") from None
        return whole if cut(password) == password else f"{whole} {self._hasher.hash(cut(password))}"

    def verify(self, password_hash: str | None, password: str) -> bool:
        """False also for None: nobody's password."""
        if password_hash is not None and is_legacy(password_hash):
            self._matches(self._nobodys_hash, password)  # as slow as any other
            return self._matches_legacy(password_hash, password)
        first = (password_hash or self._nobodys_hash).partition(" ")[0]
        return self._matches(first, password) and password_hash is not None

    def verify_cut(self, password_hash: str | None, password: str) -> bool:
        """The same for a password whose code points the client has cut."""
        if password_hash is None or is_legacy(password_hash):
            return self.verify(password_hash, password)
        return self.verify(password_hash.rpartition(" ")[2], password)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except InvalidHashError:  # an imported user without a password that can be used
            return self._matches(self._nobodys_hash, password) and False
        except (VerificationError, UnicodeEncodeError):
            return False

    def _matches_legacy(self, password_hash: str, password: str) -> bool:
        digest, _, salt = password_hash.removeprefix(LEGACY_PREFIX).partition("$")
        text = f"{password}{salt}{self._static_salt}"
        return hmac.compare_digest(sha3_256(text.encode(errors="replace")).hexdigest(), digest)


def legacy_hash(digest: str, salt: str) -> str:
    return f"{LEGACY_PREFIX}{digest.lower()}${salt}"


def is_legacy(password_hash: str) -> bool:
    return password_hash.startswith(LEGACY_PREFIX)


def cut(text: str) -> str:
    """Each code point's low 8 bits: what the old command line makes of a name or password."""
    return "".join(chr(ord(character) & 0xFF) for character in text)

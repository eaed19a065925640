"""Reading known_hosts files as OpenSSH means them: patterns, hashed names, ports, markers, several files."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

SSH_PORT = 22
_HASHED = "|1|"


@dataclass(frozen=True, kw_only=True)
class KnownKey:
    """A key that some line gives to a machine. `source` is the file, or whoever else vouches for it."""

    kind: str
    blob: bytes
    source: Path | str
    revoked: bool = False

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.blob)


def fingerprint(blob: bytes) -> str:
    """`SHA256:…`, as `ssh-keygen -l` shows it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def spelled(host_name: str, port: int) -> str:
    """As the files spell an address."""
    return host_name if port == SSH_PORT else f"[{host_name}]:{port}"


def known_keys(files: Iterable[Path], host_name: str, port: int) -> tuple[KnownKey, ...]:
    """Those of `[name]:port`, else those of the plain name. Unreadable files know nothing."""
    lines = [line for file in files for line in _lines(file)]
    for address in dict.fromkeys((spelled(host_name, port), host_name)):
        found = tuple(key for names, key in lines if _matches(names, address.lower()))
        if found:
            return found
    return ()


def parse_key(text: str, source: Path | str, *, revoked: bool = False) -> KnownKey | None:
    """`KIND BASE64 …`; None where it is no key."""
    fields = text.split()
    if len(fields) < 2:
        return None
    try:
        blob = base64.b64decode(fields[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    return KnownKey(kind=fields[0], blob=blob, source=source, revoked=revoked) if blob else None


def _lines(file: Path) -> Iterator[tuple[str, KnownKey]]:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        marker, _, rest = line.strip().partition(" ") if line.startswith("@") else ("", "", line.strip())
        if marker not in ("", "@revoked") or rest.startswith("#"):
            continue  # a certificate authority's signatures are not what we check
        names, _, key_text = rest.strip().partition(" ")
        key = parse_key(key_text, file, revoked=bool(marker))
        if key is not None:
            yield names, key


def _matches(names: str, address: str) -> bool:
    if names.startswith(_HASHED):
        return _is_hash_of(names, address)
    matched = False
    for pattern in names.lower().split(","):
        # Brackets spell a port here and mean themselves; fnmatch would take them for a set of characters.
        if fnmatchcase(address, pattern.lstrip("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _is_hash_of(text: str, address: str) -> bool:
    try:
        salt, wanted = (base64.b64decode(part) for part in text.removeprefix(_HASHED).split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, address.encode(), "sha1"), wanted)

"""`connection_string` of `batchd.yaml` → a SQLAlchemy URL, without importing SQLAlchemy.

Messages never show the string: it may hold a password.
"""

import re
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

_POSTGRES_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_LIBPQ = re.compile(r"\s*(?:host|hostaddr|port|user|password|dbname|service|sslmode)\s*=", re.IGNORECASE)
_SQLITE_URL = re.compile(r"sqlite(?:\+\w+)?://", re.IGNORECASE)


def looks_like_postgres(text: str) -> bool:
    return bool(_POSTGRES_URL.match(text) or _LIBPQ.match(text))


def sqlite_url(text: str) -> str:
    """A path, `:memory:` or a `sqlite://` URL; ValueError with a sentence."""
    if looks_like_postgres(text):
        raise ValueError("is PostgreSQL's form, but the driver is Sqlite")
    path = _SQLITE_URL.sub("", text).removeprefix("/") if _SQLITE_URL.match(text) else text
    if path in ("", ":memory:"):
        return "sqlite:///:memory:"
    if "?" in path:
        raise ValueError("is a path with '?', which a database URL cannot hold")
    return f"sqlite:///{Path(path)}"


def postgres_url(text: str) -> str:
    """A libpq string or a URL; ValueError with a sentence."""
    if not looks_like_postgres(text):
        raise ValueError("is neither 'host=… port=… user=… password=…' nor a postgresql:// URL")
    try:
        parts: dict[str, object] = dict(
            conninfo_to_dict(_POSTGRES_URL.sub("postgresql://", text.strip(), count=1))
        )
    except psycopg.Error:  # its text quotes the string
        raise ValueError("is not a connection string that PostgreSQL's library understands") from None
    user, password = str(parts.pop("user", "")), parts.pop("password", None)
    login = quote(user, safe="") + ("" if password is None else f":{quote(str(password), safe='')}")
    address = _address(parts)
    database = quote(str(parts.pop("dbname", "")), safe="")
    query = urlencode({key: str(value) for key, value in parts.items()})
    url = f"postgresql+psycopg://{login}{'@' if login else ''}{address}/{database}"
    return f"{url}?{query}" if query else url


def _address(parts: dict[str, object]) -> str:
    """Takes one host and its port out of `parts`; a socket folder or several hosts stay, for the query."""
    host, port = str(parts.get("host", "")), str(parts.get("port", ""))
    if not re.fullmatch(r"[\w.:-]+", host) or "," in port:
        return ""
    del parts["host"]
    parts.pop("port", None)
    return (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from batchd_api.connection_strings import postgres_url, sqlite_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/var/lib/batchd/batchd.db", "sqlite:////var/lib/batchd/batchd.db"),
        ("batch.db", "sqlite:///batch.db"),
        (":memory:", "sqlite:///:memory:"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("sqlite:///b.db", "sqlite:///b.db"),
        ("sqlite://", "sqlite:///:memory:"),
    ],
)
def test_sqlite_is_a_path_memory_or_a_url(text: str, expected: str) -> None:
    assert sqlite_url(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "host=localhost port=5432 user=batchd password=batchd",
            "postgresql+psycopg://batchd:batchd@localhost:5432/",
        ),
        ("host=db dbname=b", "postgresql+psycopg://db/b"),
        ("host=/run/postgresql dbname=b user=u", "postgresql+psycopg://u@/b?host=%2Frun%2Fpostgresql"),
        ("host=::1 dbname=b", "postgresql+psycopg://[::1]/b"),
        ("host=a,b port=1,2 dbname=x", "postgresql+psycopg:///x?host=a%2Cb&port=1%2C2"),
        ("user=u password='p@ :/%' host=h", "postgresql+psycopg://u:p%40%20%3A%2F%25@h/"),
        ("postgres://u:p@h:5/b", "postgresql+psycopg://u:p@h:5/b"),
        ("postgresql://u@h/b?sslmode=require", "postgresql+psycopg://u@h/b?sslmode=require"),
        ("postgresql+psycopg://u@h/b", "postgresql+psycopg://u@h/b"),
        ("service=batch", "postgresql+psycopg:///?service=batch"),
    ],
)
def test_postgres_is_libpqs_form_or_a_url(text: str, expected: str) -> None:
    assert postgres_url(text) == expected
    make_url(expected)


@pytest.mark.parametrize(
    "text", ["host='unclosed hunter2", "host=x hunter2", "host=x hunter=2", "", "/a/b hunter2"]
)
def test_what_is_no_connection_string_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="is ") as refused:
        postgres_url(text)
    assert "hunter" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_database_url_cannot_hold_a_question_mark() -> None:
    with pytest.raises(ValueError, match="'\\?'"):
        sqlite_url("/a?b")


NAMES = st.text(
    alphabet=st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=1
)


@given(user=NAMES, password=NAMES)
def test_sqlalchemy_reads_back_any_user_and_password(user: str, password: str) -> None:
    text = make_conninfo(host="h", user=user, password=password)
    url = make_url(postgres_url(text))
    assert (url.username, url.password, url.host) == (user, password, "h")

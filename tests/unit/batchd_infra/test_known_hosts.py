"""known_hosts files as OpenSSH means them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from batchd_infra.known_hosts import known_keys, parse_key

ONE, TWO = (f"ssh-ed25519 {base64.b64encode(text).decode()}" for text in (b"one", b"two"))


def found(folder: Path, text: str, name: str, port: int = 22) -> list[bytes]:
    file = folder / "known_hosts"
    file.write_text(text)
    return [key.blob for key in known_keys((folder / "none", file), name, port)]


@pytest.mark.parametrize(
    ("names", "name", "port"),
    [
        ("box", "box", 22),
        ("BOX,10.0.0.1", "box", 22),
        ("*.example.org", "a.example.org", 22),
        ("b?x", "box", 22),
        ("[box]:2222", "box", 2222),
        ("box", "box", 2222),
        ("[*.example.org]:2222", "a.example.org", 2222),
    ],
)
def test_a_line_is_of_the_names_it_says(tmp_path: Path, names: str, name: str, port: int) -> None:
    assert found(tmp_path, f"# a comment\n{names} {ONE} somebody\n", name, port) == [b"one"]


@pytest.mark.parametrize(
    ("names", "name", "port"),
    [
        ("box", "boxes", 22),
        ("*.org,!a.org", "a.org", 22),
        ("[box]:2222", "box", 22),
        ("[b]ox", "box", 22),
        ("|1|rubbish", "box", 22),
    ],
)
def test_and_of_no_others(tmp_path: Path, names: str, name: str, port: int) -> None:
    assert found(tmp_path, f"{names} {ONE}\n", name, port) == []


def test_a_port_s_own_line_counts_alone(tmp_path: Path) -> None:
    assert found(tmp_path, f"box {ONE}\n[box]:2222 {TWO}\n", "box", 2222) == [b"two"]


def test_a_revoked_key_is_marked_and_an_authority_s_is_none(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"@revoked box {ONE}\n@cert-authority box {TWO}\n")
    assert [(key.blob, key.revoked) for key in known_keys((file,), "box", 22)] == [(b"one", True)]


def test_a_broken_line_takes_none_of_the_others_along(tmp_path: Path) -> None:
    text = f"\n   \nbox\nbox ssh-ed25519\nbox ssh-ed25519 ???\n\x00\xff\nbox {ONE}\n"
    assert found(tmp_path, text, "box") == [b"one"]
    assert parse_key("", "nowhere") is None

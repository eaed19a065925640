"""Paths, and which hosts are ours."""

import pytest

from batchd_api.answers import ErrorAnswers
from batchd_api.gate import Gate, plain_path
from tests.facade import options


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"//", "/"),
        (b"/queue", "/queue"),
        (b"/queue/", "/queue"),
        (b"//queue///night/", "/queue/night"),
        (b"/queue/Nacht%202", "/queue/Nacht 2"),
        (b"/queue/%D0%BE", "/queue/о"),
        (b"/queue/a%2Fb", "/queue/a\0b"),
        (b"/queue/%00", "/queue/\ufffd"),
        (b"/queue/%ff", "/queue/\ufffd"),
        (b"/queue/%2e%2e%2f", "/queue/..\0"),
        (b"/queue/%", "/queue/%"),
        (b"/queue/a+b", "/queue/a+b"),
    ],
)
def test_a_path_is_made_plain_before_it_is_looked_up(raw, path):
    assert plain_path(raw) == path


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("localhost:9681", True),
        ("LOCALHOST.", True),
        ("127.0.0.1:9681", True),
        ("[::1]:9681", True),
        ("192.168.1.5", True),
        ("batch.example.org", True),
        ("evil.example.com", False),
        ("127.0.0.1.evil.com", False),
        ("localhost:x", False),
        ("user@evil.com", False),
        ("", False),
    ],
)
def test_only_our_own_names_and_addresses_are_answered(host, own):
    gate = Gate(None, options(allowed_hosts=("batch.example.org",)), ErrorAnswers(basic=True))
    assert gate._is_own(host) is own

"""Completion in a real shell."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from .conftest import BATCH, Batch, Manager
from .played import play

COMPLETE = """
set -e
PATH="{folder}:$PATH"
eval "$(batch completion bash)"
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
compopt() {{ :; }}
_batch_completion batch
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def _complete(words: str, **variables: str) -> list[str]:
    """What bash would offer for the last word of a line."""
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE.format(folder=BATCH.parent, words=words)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


@pytest.fixture
def url(manager: Manager, home: Path) -> str:
    play(manager)
    names = ("night", "nacht eins", "default")
    manager.answer(
        "GET", "/queue", [json.loads(manager.answers["GET", "/queue"][1])[0] | {"name": n} for n in names]
    )
    manager.answer(
        "GET", "/jobs?status=all", [json.loads(manager.answers["GET", f"/job/{n}"][1]) for n in (9, 12, 17)]
    )
    return manager.url


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("batch en", ["enqueue"]),
        ("batch re", ["retry", "release"]),
        ("batch ls --sta", ["--status"]),
        ("batch ls --status fa", ["failed"]),
        ("batch ls ni", ["night"]),
        ("batch ls na", [r"nacht\ eins"]),
        ("batch enqueue -q n", ["night", r"nacht\ eins"]),
        ("batch enqueue -t c", ["command"]),
        ("batch enqueue -h b", ["blade"]),
        ("batch queue night -s night", ["nightly"]),
        ("batch schedule a", ["anytime"]),
        ("batch job 1", ["17", "12"]),
        ("batch cancel 17 l", ["last"]),
        ("batch grant a", ["anna"]),
        ("batch completion z", ["zsh"]),
        ("batch -M http://127.0.0.1:1 ls n", [""]),
    ],
)
def test_bash_offers_what_fits(words: str, offered: list[str], url: str) -> None:
    assert _complete(words, BATCH_MANAGER_URL=url) == offered


def test_no_password_is_asked_for_and_a_kept_one_is_used(url: str, manager: Manager, home: Path) -> None:
    manager.answer("OPTIONS", "/", ["basic"])
    assert _complete("batch ls ni", BATCH_MANAGER_URL=url, BATCH_PASSWORD="pw") == ["night"]
    assert manager.requests[-1].headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str, batch: Batch) -> None:
    done = batch("completion", shell)
    assert done.code == 0
    assert f"{shell}_complete" in done.out


def test_the_script_for_bash_keeps_names_with_a_space_whole(batch: Batch) -> None:
    assert 'printf %q "$value"' in batch("completion", "bash").out

"""Whoever is asked to stop stops: the daemon waits for each of its tasks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("batchd_api", "flows/batchd_flows", "infra/batchd_infra")
ROOT = Path(__file__).parents[2]
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def waits(tree: ast.AST) -> Iterator[int]:
    """Lines that use asyncio.wait_for."""
    for node in ast.walk(tree):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
        if name == "wait_for" and isinstance(node, ast.Attribute | ast.Name):
            yield node.lineno


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_wait_swallows_a_cancellation(file):
    """Python 3.11's `wait_for` does when what it waits for ends just then; `asyncio.timeout` does not."""
    assert list(waits(ast.parse(file.read_text()))) == []

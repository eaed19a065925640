"""axe-core, if `make` could fetch it: the accessibility rules that a page is judged by."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page

from tests.packaging import ROOT
from tests.waiting import missing

SCRIPT = ROOT / ".npm" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def script() -> str:
    if not SCRIPT.exists():
        missing("axe-core is not here: `make axe` fetches it with npm")
    return SCRIPT.read_text(encoding="utf-8")


CONTRAST = {"type": "rule", "values": ["color-contrast"]}


def findings(page: Page, source: str, rules: dict[str, Any] = RULES) -> list[dict[str, Any]]:
    """The serious ones: rule, what it says, and the elements."""
    page.evaluate(source)  # not as a <script>: the page's own policy forbids those
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    return [
        {"rule": one["id"], "says": one["help"], "where": [node["html"][:160] for node in one["nodes"][:3]]}
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]


def told(found: list[dict[str, Any]]) -> str:
    return json.dumps(found, indent=2)

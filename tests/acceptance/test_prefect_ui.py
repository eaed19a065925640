"""The Prefect UI as people see it, with the demo's jobs in it; and the picture of it in the README."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from tests.acceptance.browser import browser
from tests.acceptance.demo_runs import kept_demo
from tests.packaging import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PICTURE = ROOT / "docs" / "images" / "prefect-ui.png"


def test_the_demos_jobs_are_readable_in_the_prefect_ui(tmp_path: Path) -> None:
    """With UPDATE_PICTURES=1 the README's picture is made anew."""
    with kept_demo(tmp_path) as demo, browser() as page:
        page.open(demo.prefect_url + "/runs")
        page.wait_for("Login")
        # What the page keeps after someone has typed the line from the file that the demo names.
        kept = base64.b64encode(demo.prefect_auth.encode()).decode()
        page.before_each_page(f"localStorage.setItem('prefect-password', '{kept}')")
        page.open(demo.prefect_url + "/runs")
        page.wait_for("#1 command", "#2 countdown", "#3 second-try", "Completed", "queue:night", "user:demo")
        picture = page.picture()
        page.open(demo.prefect_url + "/work-pools")
        page.wait_for("batchd-night", "batchd-default")
    assert len(picture) > 20_000
    if os.environ.get("UPDATE_PICTURES") == "1":
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_bytes(picture)

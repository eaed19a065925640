"""The built-in page works in a real browser: in, a queue, a job with its output, the monitor."""

from __future__ import annotations

import re

from playwright.sync_api import expect


def test_one_logs_in_and_finds_a_queue_a_job_and_its_output(tabs, shared) -> None:
    tab = tabs(shared, None)
    tab.open("/")
    tab.page.get_by_label("User name").fill("root")
    tab.page.get_by_label("Password").fill("secret")
    tab.button("Log in").click()
    tab.sees("Night renders", re.compile(r"opens 22:00"))
    tab.page.get_by_role("link", name="Night renders", exact=True).click()
    tab.sees("night opens at 22:00")
    tab.row("running").get_by_role("link").click()
    expect(tab.page.get_by_role("log", name="stdout")).to_contain_text("Fra:119")
    expect(tab.page.get_by_role("log", name="stderr")).to_contain_text("2 textures are missing")
    tab.page.get_by_role("link", name="Monitor").click()
    expect(tab.page.get_by_role("heading", name="Monitor")).to_be_visible()
    tab.is_clean()

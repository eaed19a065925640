"""Output live: apart, at its end, any number of lines, and on where the connection broke."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from batchd_api.db.tables import attempts
from tests.ground import NOW
from tests.web.tab import Tab

pytestmark = pytest.mark.slow
LINES = 20_000
IS_AT_THE_END = "e => e.scrollHeight - e.clientHeight - e.scrollTop < 30"


def log(tab: Tab, stream: str) -> Locator:
    return tab.page.get_by_role("log", name=stream)


def write(tab: Tab, stream: str, text: str) -> None:
    tab.world.facade.here.write(tab.world.jobs["running"], stream, text.encode())


def at_the_end(tab: Tab) -> bool:
    return bool(log(tab, "stdout").evaluate(IS_AT_THE_END))


def test_output_comes_as_it_is_written_and_the_end_is_followed(tabs, own) -> None:
    tab = tabs(own, "ann")
    tab.open(f"/#/job/{own.jobs['running']}")
    expect(log(tab, "stdout")).to_contain_text("Fra:119")
    tab.until("at the end", lambda: at_the_end(tab))
    write(tab, "stdout", "a new line\nand half of")
    expect(log(tab, "stdout")).to_contain_text("and half of")
    write(tab, "stdout", " the next é\n")
    write(tab, "stderr", "only a warning\n")
    expect(log(tab, "stdout")).to_contain_text("and half of the next é")
    expect(log(tab, "stderr")).to_contain_text("only a warning")
    expect(log(tab, "stdout")).not_to_contain_text("warning")
    tab.until("at the end", lambda: at_the_end(tab))
    log(tab, "stdout").hover()
    tab.page.mouse.wheel(0, -800)
    expect(tab.page.get_by_label("Follow").first).not_to_be_checked()
    write(tab, "stdout", "while somebody reads\n" * 5)
    expect(log(tab, "stdout")).to_contain_text("while somebody reads")
    assert not at_the_end(tab)
    tab.page.get_by_label("Follow").first.check()
    assert at_the_end(tab)
    tab.is_clean()


def test_thousands_of_lines_are_laid_out_only_where_one_looks(tabs, own) -> None:
    tab = tabs(own, "root")
    for begin in range(0, LINES, 1000):
        write(tab, "stdout", "".join(f"line {n} of many\n" for n in range(begin + 1, begin + 1001)))
    tab.open(f"/#/job/{own.jobs['running']}")
    expect(tab.page.get_by_text(f"{LINES + 120:,} lines".replace(",", " "))).to_be_visible()
    expect(log(tab, "stdout")).to_contain_text(f"line {LINES} of many")
    tab.until("at the end", lambda: at_the_end(tab))
    took = tab.page.evaluate(
        "async e => { const begin = performance.now(); e.scrollTop = 0;"
        " await new Promise(requestAnimationFrame); return performance.now() - begin; }",
        log(tab, "stdout").element_handle(),
    )
    assert took < 1000
    tab.is_clean()


def test_the_end_is_shown_with_its_code_and_output_of_a_second_execution_apart(tabs, own) -> None:
    here, job = own.facade.here, own.jobs["running"]
    tab = tabs(own, "root")
    tab.open(f"/#/job/{job}")
    tab.sees("Running")
    with here.database.write() as connection:
        mine = (attempts.c.job_id == job) & (attempts.c.number == 1)
        connection.execute(attempts.update().where(mine).values(state="ended", ended_at=NOW, exit_code=3))
    here.set_job(job, try_count=1)
    here.attempt(job, number=2, queue_name="night", stdout=[b"once more\n"])
    expect(log(tab, "stdout")).to_contain_text("execution 2")
    expect(log(tab, "stdout")).to_contain_text("once more")
    with here.database.write() as connection:
        mine = (attempts.c.job_id == job) & (attempts.c.number == 2)
        connection.execute(attempts.update().where(mine).values(state="ended", ended_at=NOW, exit_code=0))
    here.set_job(job, status="Done", end_time=NOW, version=99)
    tab.sees("Done", "Exit code")
    expect(tab.button("Run again")).to_be_visible()
    tab.is_clean()


def test_a_broken_connection_goes_on_where_it_was(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.page.add_init_script(BREAK_ONCE)
    tab.open(f"/#/job/{own.jobs['running']}")
    expect(log(tab, "stdout")).to_contain_text("Fra:119")
    tab.page.evaluate("window.breakIt()")
    write(tab, "stdout", "after the break\n")
    expect(log(tab, "stdout")).to_contain_text("after the break")
    assert log(tab, "stdout").inner_text().count("Fra:119") == 1
    tab.is_clean()


BREAK_ONCE = """
const real = window.fetch;
window.fetch = async (url, options) => {
  const answer = await real(url, options);
  if (!String(url).endsWith("/stream") || window.broken) return answer;
  const body = answer.body.pipeThrough(new TransformStream({
    start(controller) {
      window.breakIt = () => { window.broken = true; controller.error(new TypeError("network error")); };
    },
  }));
  return new Response(body, answer);
};
"""


def test_the_whole_output_is_downloaded(tabs, shared) -> None:
    tab = tabs(shared, "eve")
    tab.open(f"/#/job/{shared.jobs['running']}")
    expect(log(tab, "stdout")).to_contain_text("Fra:119")
    with tab.page.expect_download() as download:
        tab.button("Download stdout").click()
    assert download.value.path().read_text().startswith("Blender 4.2.1\nFra:1 ")
    tab.is_clean()

"""The site: it is built without a warning, holds every page, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging import ROOT

pytestmark = pytest.mark.slow
DOCS = ROOT / "docs"
LOADING = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)\"|<link\b[^>]*\bhref=\"([^\"]+)\""
)
IN_STYLES = re.compile(r"url\(\s*['\"]?(https?:|//)|@import\s+['\"]https?:")
KINDS = ("Tutorial", "How to", "Reference", "Explanation")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = ["-W", "--keep-going", "-q", "-b", "html", "-d", folder / "trees", DOCS, folder / "html"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], capture_output=True, text=True, timeout=170
    )
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return folder / "html"


def test_every_page_is_in_the_site_and_in_one_of_the_four_kinds(site: Path) -> None:
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")}
    assert [page for page in sorted(pages) if not (site / f"{page}.html").is_file()] == []
    start = (site / "index.html").read_text()
    for kind in KINDS:
        assert f">{kind}</span>" in start
    linked = set(re.findall(r'class="reference internal" href="([^"#]+)\.html"', start))
    assert pages - linked - {"index"} == set()


def test_no_page_loads_anything_from_another_address(site: Path) -> None:
    for page in site.rglob("*.html"):
        for found in LOADING.finditer(page.read_text()):
            address = found[1] or found[2]
            assert not address.startswith(("http:", "https:", "//")), f"{page.name} loads {address}"
    for style in site.rglob("*.css"):
        assert not IN_STYLES.search(style.read_text()), style

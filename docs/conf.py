"""Sphinx: the site of these pages. `make docs` builds it; a warning is an error."""

from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from batchd_cli.version import __version__

project = "batchd"
version = release = __version__
project_copyright = "the batchd authors"
extensions = ["myst_parser"]
exclude_patterns = ["examples"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"batchd {__version__}"
html_copy_source = False
html_show_sphinx = False
html_static_path: list[str] = []
nitpicky = True


class MermaidLexer(TextLexer):
    """Charts stay text here; what draws them would have to come from another address."""

    aliases = ["mermaid"]  # noqa: RUF012  as Pygments has it


def without_what_is_not_written_yet(app: Sphinx, page: str, source: list[str]) -> None:
    """`make bench` writes performance.md."""
    if page == "index" and not (Path(app.srcdir) / "performance.md").exists():
        source[0] = source[0].replace("\nperformance\n", "\n")


def setup(app: Sphinx) -> None:
    app.connect("source-read", without_what_is_not_written_yet)
    app.add_lexer("mermaid", MermaidLexer)

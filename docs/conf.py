"""Sphinx: the site of these pages. `make docs` builds it; a warning is an error."""

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


def setup(app: Sphinx) -> None:
    app.add_lexer("mermaid", MermaidLexer)

"""A page that is made from the code: written, or with `--check` compared with what stands there."""

from pathlib import Path


def written_or_checked(page: Path, text: str, arguments: list[str]) -> int:
    """The exit code: 1 where `--check` finds another text. No line ends with blanks."""
    text = "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"
    if arguments == ["--check"]:
        return 0 if page.is_file() and page.read_text(encoding="utf-8") == text else 1
    page.parent.mkdir(exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return 0

"""The fenced blocks of a page, and what a block of commands and answers asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=indent)``` *$", re.DOTALL | re.MULTILINE
)
PROMPT, MORE = "$ ", "> "
ANYTHING = "…"
PLACE = re.compile(r"# (?P<path>(?:~/|[\w.-]+/)?[\w./-]+\.(?:yaml|py))\n")


@dataclass(frozen=True, kw_only=True)
class Block:
    """`kind` is what stands behind the fence: console, yaml …"""

    kind: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The path in a first line that is a comment and nothing but a path: the block is that file."""
        found = PLACE.match(self.text)
        return found["path"] if found and self.kind in ("yaml", "python") else None


@dataclass(kw_only=True)
class Step:
    """A command and the lines that must follow it; `…` stands for any text, or any lines."""

    command: str
    line: int
    expected: list[str] = field(default_factory=list)

    def is_answered_by(self, said: str) -> bool:
        return not self.expected or bool(re.fullmatch(_pattern(self.expected), _squeezed(said)))


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        indent = found["indent"]
        lines = (line.removeprefix(indent) for line in found["text"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start()) + 1
        yield Block(kind=found["kind"].strip(), text="".join(lines), line=line)


def steps(block: Block) -> list[Step]:
    found: list[Step] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith(PROMPT):
            found.append(Step(command=line.removeprefix(PROMPT), line=number))
        elif line.startswith(MORE) and found and not found[-1].expected:
            found[-1].command += "\n" + line.removeprefix(MORE)
        elif found:
            found[-1].expected.append(line)
        else:
            raise AssertionError(f"line {number}: a console block begins with '$ '")
    return found


def _squeezed(text: str) -> str:
    return "".join(" ".join(line.split()) + "\n" for line in text.strip().splitlines())


def _pattern(expected: list[str]) -> str:
    wanted = [" ".join(line.split()) for line in expected]
    while wanted and not wanted[-1]:
        wanted.pop()
    return "".join(r"(?:[^\n]*\n)*?" if line == ANYTHING else _line(line) + r"\n" for line in wanted)


def _line(line: str) -> str:
    return r"[^\n]*".join(re.escape(part) for part in line.split(ANYTHING))

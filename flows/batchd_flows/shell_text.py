"""Walks through the text of a shell script and hands each reference in it to someone who replaces it.

The walker knows where a reference stands (`Place`): bare, in double or single quotes, in a here-document,
in `$(…)`, in backquotes, in arithmetic. It never sees a value: what it writes in a reference's place is an
expansion that its `Names` chose, so that a misread quote could make a word look odd but could not make a
value code.

What it rewrites besides references:

- backquotes that hold a reference become `$(…)`, where quotes nest;
- a here-document with a quoted delimiter that holds a reference gets a bare delimiter, its other `$`,
  backquotes and backslashes escaped.

References come in two spellings. With `dollars`, `$name`, `${name}` and `$$` (a dollar sign, which the
shell then reads as its own: `$$HOME`, `$$(date)`; `$$$$` is its process number). Without, `\\0name\\0`, as
`command_lines` marks the names of a `Python` template. A backslash before a dollar keeps it from being a
reference, as in any script.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from batchd_flows.errors import FlowsError

REFERENCE = re.compile(r"\$(?:([^\W_]+)|\{([\w.-]+)\})")
MARK = re.compile("\0([^\0]*)\0")

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORD = re.compile(r"\w+", re.ASCII)
_HEAD = re.compile(r"[#!]?(?:([A-Za-z_]\w*)|\d+|[@*#?$!-])", re.ASCII)
_HERE = re.compile(r"<<(-?)[ \t]*((?:\\.|'[^']*'|\"[^\"]*\"|[^\s;&|<>()'\"\\])+)")
_PLAIN_DELIMITER = re.compile(r"[\w.+-]+", re.ASCII)
_OPENERS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"})
_COMPARISONS = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})
_QUOTED = "\0"  # stands in a word for whatever is not plain text, so that no keyword is seen there


class ShellTextError(FlowsError):
    """A shell template cannot be read: the line (from 1) and why."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"line {line}: {sentence}")
        self.line = line
        self.sentence = sentence


class Place(Enum):
    """Where a reference stands; it decides what may be written there."""

    BARE = "bare"
    DOUBLE = "double quotes, or a here-document"
    SINGLE = "single quotes"
    ANSI = "$'…'"
    QUOTED_HERE = "a here-document whose delimiter is quoted"
    ARITHMETIC = "arithmetic"


class Names(Protocol):
    """Who knows what the names mean."""

    def reference(self, name: str, raw: str, place: Place, line: int) -> str:
        """What to write for this reference; `raw` where it is the shell's own."""

    def head(self, name: str) -> str:
        """The variable to write in `${name:-…}` and its like."""

    def number(self, name: str, line: int) -> None:
        """The shell evaluates this name's value as arithmetic here: raise if it must not."""


class _Anything:
    """Names for a trial reading: every name is the shell's own."""

    def reference(self, name: str, raw: str, place: Place, line: int) -> str:
        return raw

    def head(self, name: str) -> str:
        return name

    def number(self, name: str, line: int) -> None:
        return


@dataclass
class _HereDocument:
    delimiter: str
    quoted: bool
    strip_tabs: bool
    operator_at: int  # where in the output its `<<WORD` stands


@dataclass
class _Level:
    """One list of commands: the script, or the inside of one `$(…)`."""

    open: list[str] = field(default_factory=list)  # "(", "case" (before `in`), "esac" (after it)
    word: str = ""
    at_start: bool = True
    test: list[tuple[str, int]] | None = (
        None  # inside [[ … ]]: its words, and how many references came before
    )

    def end_word(self, references: int) -> bool:
        """Take note of the finished word; true when it was the `]]` of a `[[`."""
        word, self.word = self.word, ""
        if not word:
            return False
        if self.test is not None:
            self.test.append((word, references))
            return word == "]]"
        self._keyword(word, references)
        return False

    def _keyword(self, word: str, references: int) -> None:
        was_start, self.at_start = self.at_start, self.at_start and word in _OPENERS
        if was_start and word == "[[":
            self.test = [(word, references)]
        elif was_start and word == "case":
            self.open.append("case")
        elif word == "in" and self.open[-1:] == ["case"]:
            self.open[-1] = "esac"
            self.at_start = True
        elif was_start and word == "esac" and self.open[-1:] == ["esac"]:
            self.open.pop()

    def close(self) -> None:
        """A `)` that does not end the level: of a subshell, or of a pattern of `case`."""
        if self.open[-1:] == ["("]:
            self.open.pop()
        self.at_start = True


class ShellText:
    """One text on its way through; `ansi` says that the shell reads escapes in `$'…'`."""

    def __init__(self, text: str, names: Names, *, dollars: bool, ansi: bool = False, line: int = 1) -> None:
        self._text = text
        self._names = names
        self._dollars = dollars
        self._ansi = ansi
        self._first_line = line
        self._at = 0
        self._out: list[str] = []
        self._here: list[_HereDocument] = []
        self._references: list[tuple[str, int]] = []
        self._trials: dict[
            int, bool
        ] = {}  # by what is left of the text; else nested ones would take for ever

    def translated(self) -> str:
        try:
            self._commands(end="")
        except RecursionError:
            raise ShellTextError(self._first_line, "it is nested too deeply") from None
        return "".join(self._out)

    # --- commands ---

    def _commands(self, end: str) -> None:
        level = _Level()
        opened = self._line()
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == end:
                self._end_word(level)
            if char == end and not level.open:
                return
            self._command_piece(level, char)
        self._end_word(level)
        if end:
            raise ShellTextError(opened, "`$(` is never closed")

    def _command_piece(self, level: _Level, char: str) -> None:
        if char in " \t\n;&|><":
            self._end_word(level)
            level.at_start = level.at_start or char in "\n;&|"
            self._separator(char)
        elif char in "()":
            self._end_word(level)
            self._parenthesis(level, char)
        elif char == "#" and not level.word:
            self._comment()
        elif char == "[" and level.at_start and _IDENTIFIER.fullmatch(level.word):
            level.word += _QUOTED
            self._take()
            self._arithmetic("]")
        else:
            level.word += char if self._piece(Place.BARE) else _QUOTED

    def _separator(self, char: str) -> None:
        if char == "\n":
            self._take()
            self._here_documents()
        elif self._text.startswith("<<<", self._at):
            self._take(3)
        elif char == "<" and (match := _HERE.match(self._text, self._at)):
            self._here_operator(match)
        else:
            self._take()

    def _parenthesis(self, level: _Level, char: str) -> None:
        if char == "(" and level.at_start and self._try_arithmetic("((", "))"):
            level.at_start = False
            return
        if char == "(":
            level.open.append("(")
            level.at_start = True
        else:
            level.close()
        self._take()

    def _comment(self) -> None:
        end = self._text.find("\n", self._at)
        comment = self._text[self._at : end if end >= 0 else len(self._text)]
        self._out.append(MARK.sub(r"{\1}", comment))
        self._at += len(comment)

    def _end_word(self, level: _Level) -> None:
        if not level.end_word(len(self._references)) or level.test is None:
            return
        words, level.test = level.test, None
        for index in range(1, len(words) - 1):
            if words[index][0] in _COMPARISONS:
                self._compared(words, index - 1)
                self._compared(words, index + 1)

    def _compared(self, words: list[tuple[str, int]], index: int) -> None:
        """A side of a numeric comparison in `[[ … ]]`, which bash evaluates, quoted or not."""
        word, upto = words[index]
        since = words[index - 1][1] if index else 0
        for name, line in self._references[since:upto]:
            self._names.number(name, line)
        if _IDENTIFIER.fullmatch(word):
            self._names.number(word, self._line())

    # --- what may stand in a word ---

    def _piece(self, place: Place) -> bool:
        """One piece of a word; true when it was one plain character."""
        char = self._text[self._at]
        if char == "\\":
            self._take(2)
        elif char == "`":
            self._backquotes(in_double=place is Place.DOUBLE)
        elif char == "$":
            self._dollar(place)
        elif char == "\0":
            self._mark(place)
        elif char == '"' and place is not Place.DOUBLE:
            self._double()
        elif char == "'" and place is Place.BARE:
            self._single()
        elif place is Place.ARITHMETIC and (word := _WORD.match(self._text, self._at)):
            self._names.number(word[0], self._line())
            self._take(len(word[0]))
        else:
            self._take()
            return True
        return False

    def _double(self) -> None:
        self._until('"', Place.DOUBLE, "a double quote")

    def _until(self, end: str, place: Place, what: str) -> None:
        opened = self._line()
        self._take()
        while self._at < len(self._text) and self._text[self._at] != end:
            self._piece(place)
        if self._at >= len(self._text):
            raise ShellTextError(opened, f"{what} is never closed")
        self._take()

    def _single(self) -> None:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise ShellTextError(self._line(), "a single quote is never closed")
        self._take()
        self._verbatim(end, Place.SINGLE)
        self._take()

    def _ansi_quotes(self) -> None:
        pattern = re.compile(r"'(?:\\.|[^'\\])*'" if self._ansi else r"'[^']*'", re.DOTALL)
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ShellTextError(self._line(), "a single quote is never closed")
        self._take()
        self._verbatim(match.end() - 1, Place.ANSI)
        self._take()

    def _verbatim(self, end: int, place: Place) -> None:
        """Text up to `end` in which the shell expands nothing, and we the references."""
        while self._at < end:
            char = self._text[self._at]
            if char == "\0":
                self._mark(place)
            elif self._dollars and self._text.startswith("$$", self._at):
                self._at += 1
                self._take()
            elif not (self._dollars and char == "$" and self._reference(place)):
                self._take()

    # --- dollars ---

    def _dollar(self, place: Place) -> None:
        if not self._dollars or not self._text.startswith("$$", self._at):
            if not (self._dollars and self._reference(place)):
                self._own_dollar(place)
            return
        self._at += 1
        if self._text.startswith("$$$", self._at):
            self._at += 1
            self._take(2)
        elif self._text.startswith("$$", self._at):
            self._out.append("\\$")
            self._at += 1
        else:
            self._own_dollar(place)

    def _reference(self, place: Place) -> bool:
        match = REFERENCE.match(self._text, self._at)
        if match is None:
            return False
        self._replace(match[1] or match[2], match[0], place)
        self._at = match.end()
        return True

    def _mark(self, place: Place) -> None:
        match = MARK.match(self._text, self._at)
        if match is None:
            raise ShellTextError(self._line(), "a zero byte cannot stand in a script")
        self._replace(match[1], "{" + match[1] + "}", place)
        self._at = match.end()

    def _replace(self, name: str, raw: str, place: Place) -> None:
        line = self._line()
        self._references.append((name, line))
        written = self._names.reference(name, raw, place, line)
        replaced = place is Place.QUOTED_HERE and written != raw
        self._out.append("\0" * replaced + written)

    def _own_dollar(self, place: Place) -> None:
        """A dollar that the shell reads itself, and what it opens."""
        following = self._text[self._at + 1 : self._at + 2]
        if following == "(" and not self._try_arithmetic("$((", "))"):
            self._take(2)
            self._commands(end=")")
            self._take()
        elif following == "{":
            self._braces(place)
        elif following == "[":
            self._take(2)
            self._arithmetic("]")
        elif following == "'" and place is Place.BARE:
            self._take()
            self._ansi_quotes()
        elif following != "(":
            self._take(2 if following and following in "#?!@*-$" else 1)

    def _braces(self, place: Place) -> None:
        """`${…}` that is no reference: its name, then its operator's word."""
        opened = self._line()
        self._take(2)
        head = _HEAD.match(self._text, self._at)
        if head:
            name = head[1] or ""
            self._out.append(head[0].removesuffix(name) + (name and self._names.head(name)))
            self._at = head.end()
        if self._text.startswith("[", self._at):
            self._take()
            self._arithmetic("]")
        inner = self._inside_braces(place)
        while self._at < len(self._text) and self._text[self._at] != "}":
            self._piece(inner)
        if self._at >= len(self._text):
            raise ShellTextError(opened, "`${` is never closed")
        self._take()

    def _inside_braces(self, place: Place) -> Place:
        """Single quotes inside double quotes quote in the word of `${x%…}`, not in that of `${x:-…}`."""
        operator = self._text[self._at : self._at + 2]
        if place is Place.ARITHMETIC or (operator[:1] == ":" and operator[1:] not in tuple("-=+?")):
            return Place.ARITHMETIC
        return Place.BARE if operator[:1] in tuple("#%/^,@") else place

    def _try_arithmetic(self, begin: str, end: str) -> bool:
        """False, with nothing read, where `$((` or `((` turns out to open subshells."""
        if not self._text.startswith(begin, self._at):
            return False
        left = len(self._text) - self._at
        if left not in self._trials:
            self._trials[left] = self._would_be_arithmetic(self._at + len(begin), end)
        if not self._trials[left]:
            return False
        self._take(len(begin))
        return self._arithmetic(end)

    def _would_be_arithmetic(self, at: int, end: str) -> bool:
        trial = ShellText(self._text, _Anything(), dollars=self._dollars, ansi=self._ansi)
        trial._at, trial._trials = at, self._trials
        try:
            return trial._arithmetic(end)
        except ShellTextError:
            return False

    def _arithmetic(self, end: str) -> bool:
        opener = {"]": "[", "))": "("}[end]
        depth = 0
        while self._at < len(self._text):
            char = self._text[self._at]
            if depth == 0 and char == end[0]:
                closed = self._text.startswith(end, self._at)
                self._take(len(end) if closed else 0)
                return closed
            depth += (char == opener) - (char == end[0])
            self._piece(Place.ARITHMETIC)
        return False

    def _backquotes(self, *, in_double: bool) -> None:
        match = re.compile(r"`((?:\\.|[^`\\])*)`", re.DOTALL).match(self._text, self._at)
        if match is None:
            raise ShellTextError(self._line(), "a backquote is never closed")
        inner = re.sub(r'\\([$`\\"])' if in_double else r"\\([$`\\])", r"\1", match[1])
        translated = self._nested(inner, self._line()).translated()
        if translated == inner:
            self._out.append(match[0])
        else:
            # The line end keeps a comment from swallowing the parenthesis, the blank keeps `$((` apart.
            closing = "\n)" if "#" in translated or "<<" in translated else ")"
            self._out.append("$( " + translated + closing)
        self._at = match.end()

    # --- here-documents ---

    def _here_operator(self, match: re.Match[str]) -> None:
        word = match[2]
        delimiter = re.sub(r"\\(.)|['\"]", r"\1", word)
        quoted = delimiter != word
        self._here.append(_HereDocument(delimiter, quoted, bool(match[1]), len(self._out)))
        self._take(len(match[0]))

    def _here_documents(self) -> None:
        documents, self._here = self._here, []
        for document in documents:
            begin = self._at
            end = self._end_of(document)
            body, line = self._text[begin:end], self._line()
            self._at = end
            self._out.append(
                self._quoted_body(document, body, line) if document.quoted else self._body(body, line)
            )

    def _end_of(self, document: _HereDocument) -> int:
        """Where the line with the delimiter begins; the end of the text if there is none."""
        at = self._at
        while at < len(self._text):
            line_end = self._text.find("\n", at)
            line = self._text[at : line_end if line_end >= 0 else len(self._text)]
            if (line.lstrip("\t") if document.strip_tabs else line) == document.delimiter:
                return at
            at = min(at + len(line) + 1, len(self._text))
        return at

    def _body(self, body: str, line: int) -> str:
        nested = self._nested(body, line)
        while nested._at < len(body):
            if body[nested._at] == '"':
                nested._take()
            else:
                nested._piece(Place.DOUBLE)
        return "".join(nested._out)

    def _quoted_body(self, document: _HereDocument, body: str, line: int) -> str:
        nested = self._nested(body, line)
        nested._verbatim(len(body), Place.QUOTED_HERE)
        pieces = nested._out
        if not any(piece.startswith("\0") for piece in pieces):
            return "".join(pieces)
        if not _PLAIN_DELIMITER.fullmatch(document.delimiter):
            raise ShellTextError(
                line, f"a here-document that ends with {document.delimiter!r} cannot hold references"
            )
        self._out[document.operator_at] = f"<<{'-' * document.strip_tabs}{document.delimiter}"
        return "".join(
            piece[1:] if piece.startswith("\0") else re.sub(r"([\\$`])", r"\\\1", piece) for piece in pieces
        )

    # --- the text itself ---

    def _nested(self, text: str, line: int) -> "ShellText":
        return ShellText(text, self._names, dollars=self._dollars, ansi=self._ansi, line=line)

    def _take(self, length: int = 1) -> None:
        self._out.append(self._text[self._at : self._at + length])
        self._at += length

    def _line(self) -> int:
        return self._first_line + self._text.count("\n", 0, self._at)

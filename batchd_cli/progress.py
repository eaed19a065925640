"""What moves on stderr while something is waited for: a line for people, nothing for a pipe."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from batchd_cli.lazy import heavy
from batchd_cli.session import Session


class Progress(Protocol):
    """A sentence that may be shown, replaced and hidden."""

    def say(self, sentence: str) -> None: ...

    def hide(self) -> None: ...


class Silent:
    """For a pipe."""

    def say(self, sentence: str) -> None:
        """Say nothing."""

    def hide(self) -> None:
        """Hide nothing."""


@contextmanager
def progress(session: Session) -> Iterator[Progress]:
    """Hidden at the end, whatever the end is."""
    shown: Progress = heavy("rich_progress").Progress() if session.people_look_on else Silent()
    try:
        yield shown
    finally:
        shown.hide()

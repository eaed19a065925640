"""A line on stderr that moves while something is waited for, drawn by rich."""

from rich.console import Console
from rich.status import Status
from rich.text import Text


class Progress:
    """One sentence with a spinner; nothing is left of it when it is hidden."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def say(self, sentence: str) -> None:
        """Show this from now on."""
        if self._status is None:
            self._status = Status("", console=Console(stderr=True, highlight=False))
            self._status.start()
        self._status.update(Text(sentence))

    def hide(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None

"""A person at a terminal: the shell, `top`, Ctrl-C and the Tab key, driven in tmux."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import need_programs

from .conftest import BATCH, INTERRUPTIBLE, JOB, Manager, output_event, status_event
from .played import CLOSED, play

SECONDS = 30
WIDTH, HEIGHT = 100, 24


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux"

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            [*INTERRUPTIBLE, "tmux", "-f", os.devnull, "-S", self._socket, *words],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        return done.stdout

    def start(self, command: str) -> None:
        """In a shell that survives Ctrl-C, says how the command ended, and stays."""
        line = f"trap : INT; {command}; echo exit code $?; sleep 600"
        where = str(self._socket.parent)
        self.tmux("new-session", "-d", "-c", where, "-x", str(WIDTH), "-y", str(HEIGHT), "sh", "-c", line)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def shows(self, what: str | Callable[[str], bool]) -> str:
        """The screen once it is as asked for."""
        fits = what if callable(what) else lambda screen: what in screen
        deadline = time.monotonic() + SECONDS
        while not fits(screen := self.screen()):
            assert time.monotonic() < deadline, f"waited for {what!r} on:\n{screen}"
            time.sleep(0.05)
        return screen

    def stop(self) -> None:
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, timeout=SECONDS)


@pytest.fixture
def terminal(
    tmp_path: Path, manager: Manager, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    need_programs("tmux")
    play(manager)
    for name in ("COLUMNS", "LINES", "TMUX", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"BATCH_MANAGER_URL": manager.url, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    opened = Terminal(tmp_path)
    try:
        yield opened
    finally:
        opened.stop()


def _prompts(count: int) -> Callable[[str], bool]:
    """So many prompts are there, and the last one is empty."""
    return lambda screen: screen.count("batch>") == count and screen.rstrip().endswith("batch>")


BATCH_WORD = shlex.quote(str(BATCH))


def test_the_shell_completes_remembers_and_ends(terminal: Terminal, home: Path) -> None:
    terminal.start(f"{BATCH_WORD} shell")
    terminal.shows("batch>")
    terminal.type("ho")
    terminal.press("Tab")
    terminal.press("Tab")  # `hold` and `host`: the second one lists them
    terminal.shows("hold")
    terminal.type("s")
    terminal.press("Tab", "Enter")
    terminal.shows("blade")
    terminal.shows(lambda screen: screen.rstrip().endswith("batch>"))
    terminal.type("ls ni")
    terminal.press("Tab")
    terminal.shows("batch> ls night")
    terminal.press("Enter")
    terminal.shows("the window of queue")
    terminal.shows(lambda screen: screen.rstrip().endswith("batch>"))
    terminal.type("exit")
    terminal.press("Enter")
    terminal.shows("exit code 0")
    history = home / ".local/state/batchd/shell_history"
    assert "ls night" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_a_later_shell_has_the_earlier_ones_lines_but_for_passwords(terminal: Terminal, home: Path) -> None:
    terminal.start(f"{BATCH_WORD} shell; {BATCH_WORD} shell")
    for line in ("host", "-P geheim host", "exit"):
        terminal.shows(lambda screen: screen.rstrip().endswith("batch>"))
        terminal.type(line)
        terminal.press("Enter")
    terminal.shows(lambda screen: "exit" in screen and screen.rstrip().endswith("batch>"))
    terminal.press("Up", "Up")
    terminal.shows(lambda screen: screen.rstrip().endswith("batch> host"))
    assert "geheim" not in (home / ".local/state/batchd/shell_history").read_text()


def test_ctrl_c_in_the_shell_ends_the_command_and_not_the_shell(terminal: Terminal, manager: Manager) -> None:
    manager.answer("GET", "/job/17", JOB | {"reason": CLOSED})
    terminal.start(f"{BATCH_WORD} shell")
    terminal.shows("batch>")
    terminal.type("wait 17")
    terminal.press("Enter")
    terminal.shows("job 17 is New: the window of queue night is closed")
    terminal.press("C-c")
    terminal.shows(_prompts(2))
    terminal.type("not this")
    terminal.press("C-c")
    terminal.shows(_prompts(2 + 1))
    terminal.press("C-d")
    terminal.shows("exit code 0")


def test_top_refreshes_fits_and_ends_at_q(terminal: Terminal, manager: Manager) -> None:
    terminal.start(f"{BATCH_WORD} top -i 0.2")
    screen = terminal.shows("q or Ctrl-C ends it")
    assert "Processing" in screen
    assert "the window of queue night" in screen
    manager.answer("GET", "/stats", {"night": {"new": 4711}})
    terminal.shows("4711")
    manager.answer("GET", "/jobs?status=new&limit=100", [JOB | {"id": 1000 + n} for n in range(100)])
    terminal.shows(lambda shown: "more jobs; q or Ctrl-C ends it" in shown and "batchd  20" in shown)
    manager.answer("GET", "/queue", "The database cannot be reached.", 503)
    terminal.shows("The database cannot be reached.")
    terminal.press("q")
    terminal.shows(lambda shown: "exit code 0" in shown and "Processing" not in shown)


def test_ctrl_c_ends_top_with_130_and_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.start(f"stty -a > before; {BATCH_WORD} top; echo ended $?; stty -a > after; cmp before after")
    terminal.shows("q or Ctrl-C ends it")
    terminal.press("C-c")
    terminal.shows("ended 130")
    terminal.shows("exit code 0")


def test_ctrl_c_stops_following_and_not_the_job(terminal: Terminal, manager: Manager) -> None:
    manager.stream(17, [status_event("Processing"), output_event("first line\n")])
    terminal.start(f"{BATCH_WORD} logs -f 17")
    terminal.shows("first line")
    terminal.press("C-c")
    screen = terminal.shows("exit code 130")
    assert "job 17 goes on" in screen
    assert "Traceback" not in screen
    assert [one.method for one in manager.requests if one.method not in ("GET", "OPTIONS")] == []


SHELLS = {
    "bash": ("bash --norc --noprofile", 'eval "$(batch completion bash)"'),
    "zsh": ("zsh -f", 'eval "$(batch completion zsh)"'),
    "fish": ("fish --no-config", "batch completion fish | source"),
}


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key_completes_commands_options_and_names(
    shell: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_programs(shell)
    program, line = SHELLS[shell]
    monkeypatch.setenv("PATH", f"{BATCH.parent}:{os.environ['PATH']}")
    terminal.start(program)
    terminal.type(f"{line}; echo rea''dy")
    terminal.press("Enter")
    terminal.shows("\nready")
    for typed, completed in [
        ("batch enq", "batch enqueue"),
        ("batch ls --sta", "batch ls --status"),
        ("batch queue ni", "batch queue night"),
        ("batch enqueue -t com", "batch enqueue -t command"),
        ("batch enqueue -h bl", "batch enqueue -h blade"),
    ]:
        terminal.type(typed)
        terminal.press("Tab")
        terminal.shows(
            lambda screen, whole=completed: screen.rstrip().split("\n")[-1].rstrip().endswith(whole)
        )  # type: ignore[misc]
        terminal.press("C-u")

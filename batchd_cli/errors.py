"""What can go wrong on the client's side, and the exit code that says so.

BatchError                     1   anything else that is not as asked
├── ConfigError                1   `client.yaml` or an address that cannot be used
├── PasswordNeeded             4   basic authentication, and nobody to ask for the password
├── NewPasswordNeeded          4   a password to be set, and nobody to ask for it
├── TimeSyntaxError            2   a text that is no time
├── InvalidName                2   an empty name where the path needs one
├── Unreachable               69   nobody answers at the manager's address
├── ProtocolError              1   an answer that no batchd manager gives
├── NothingFound               5   the manager knows no such thing (found out here, not by a 404)
├── NotConfirmed               3   many jobs, and neither --yes nor anybody to ask
├── TimedOut                 124   the time of --timeout has passed
├── SomeFailed                 *   some of several jobs could not be changed; the code of the first refusal
└── ServerError                1   the manager refused; carries its code and its sentence
    ├── Unauthorized           4   401
    ├── Forbidden              4   403
    │   └── ForceNeeded        3   403 because something hangs on it
    └── NotFound               5   404; 400 for an order that names an unknown thing
"""

import re

UNKNOWN = re.compile(r"""\bno (queue|schedule|job type|type|host|user) (?:named )?["']([^"']+)["']""")
"""How the manager says that it knows no such thing."""


class BatchError(Exception):
    """Something is not as asked."""

    exit_code = 1
    hint: str | None = None


class ConfigError(BatchError):
    """The client's configuration cannot be used."""


class PasswordNeeded(BatchError):
    """The manager wants a password and there is no terminal to ask on."""

    exit_code = 4
    hint = "`batch login` keeps it for the next time; else BATCH_PASSWORD or --password-stdin"

    def __init__(self, username: str) -> None:
        super().__init__(f"the manager wants a password for {username} and there is no terminal to ask on")


class NewPasswordNeeded(BatchError):
    """A password is to be set, and there is no terminal to ask on."""

    exit_code = 4
    hint = "--new-password-stdin reads it from stdin"

    def __init__(self, username: str) -> None:
        super().__init__(f"there is no terminal to ask for the new password of {username} on")


class TimeSyntaxError(BatchError):
    """A text that is no time."""

    exit_code = 2

    def __init__(self, text: str) -> None:
        super().__init__(
            f"cannot read {text!r} as a time; write for example 22:00, tomorrow 6:00, "
            "2026-11-24 22:00, 24 nov, +2 hours, or any"
        )
        self.text = text


class InvalidName(BatchError):
    """An empty name."""

    exit_code = 2

    def __init__(self) -> None:
        super().__init__("a name must not be empty")


class Unreachable(BatchError):
    """Nobody answers at the manager's address."""

    exit_code = 69
    hint = "is `batchd` running there? -M, BATCH_MANAGER_URL or client.yaml name another address"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"cannot reach the manager at {url}: {reason}")
        self.url = url
        self.reason = reason


class ProtocolError(BatchError):
    """An answer that no batchd manager gives."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not an answer of a batchd manager: {what}")


class NothingFound(BatchError):
    """A list that lacks what was asked for."""

    exit_code = 5

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.hint = hint


class NotConfirmed(BatchError):
    """Many things would change, and nobody said yes."""

    exit_code = 3
    hint = "--yes does it without asking, --dry-run shows which they are"


class TimedOut(BatchError):
    """What was waited for did not happen in time."""

    exit_code = 124


class SomeFailed(BatchError):
    """Some of several jobs could not be changed; each has said why."""

    def __init__(self, failed: int, of: int, exit_code: int) -> None:
        super().__init__(f"{failed} of {of} jobs could not be changed")
        self.exit_code = exit_code


class ServerError(BatchError):
    """The manager refused what was asked of `path`."""

    def __init__(self, status: int, sentence: str, path: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.path = path


class Unauthorized(ServerError):
    """Not authenticated."""

    exit_code = 4
    hint = "-U names the user; `batch login` asks for the password and keeps it"


class Forbidden(ServerError):
    """Authenticated, and not permitted."""

    exit_code = 4


class ForceNeeded(Forbidden):
    """Something hangs on what was to be deleted."""

    exit_code = 3
    hint = "-f deletes it with everything that hangs on it"


class NotFound(ServerError):
    """The manager knows no such thing."""

    exit_code = 5


EXIT_CODES = {
    0: "done; for `wait`, `run` and `logs -f`: the job is Done",
    1: "an error: the manager refused, or something here cannot be used",
    2: "a command line that is none",
    3: "refused without force: -f, or --yes where many jobs would change",
    4: "not logged in, or not permitted",
    5: "not found: also an order that names an unknown queue, job type, host or schedule",
    69: "the manager cannot be reached",
    124: "the time of --timeout has passed",
    130: "interrupted",
}
"""`wait`, `run` and `logs -f` end with the job's own code where the job has failed."""

REFUSALS: dict[int, type[ServerError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound}


def refusal(status: int, sentence: str, path: str = "") -> ServerError:
    """The exception for an answer other than 200."""
    if status == 400 and sentence.startswith("There is no") and UNKNOWN.search(sentence):
        return NotFound(status, sentence, path)
    return REFUSALS.get(status, ServerError)(status, sentence, path)

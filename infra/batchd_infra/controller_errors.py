"""What can go wrong with a host's machine: sentences with the host's name, and no secret in them."""

from collections.abc import Collection

from batchd_infra.errors import InfraError

MAX_WHY = 300


class ControllerError(InfraError):
    """Something about the machine of a host, or about what controls it, is not as asked."""

    def __init__(self, host_name: str, message: str) -> None:
        self.host_name = host_name
        super().__init__(f"Host {host_name}: {message}")


class MachineNotFound(ControllerError):
    """Nothing there has the host's `controller_id`."""

    def __init__(self, host_name: str, controller: str, machine: str, hint: str = "") -> None:
        super().__init__(
            host_name,
            f"controller {controller} has no machine {machine!r}; set the host's controller_id{hint}.",
        )


class MachineAmbiguous(ControllerError):
    """Several machines have the host's `controller_id`: which one is meant is not guessed."""

    def __init__(self, host_name: str, controller: str, machine: str, found: Collection[str]) -> None:
        self.found = tuple(found)
        super().__init__(
            host_name,
            f"{len(found)} machines of controller {controller} are called {machine!r} "
            f"({', '.join(found)}); none of them is touched until one alone has that name.",
        )


class ControllerUnreachable(ControllerError):
    """No usable answer now; a later one may be. `retry_after_seconds`: what the API asked for."""

    verb = "does not answer"

    def __init__(
        self, host_name: str, controller: str, why: str, retry_after_seconds: float | None = None
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(host_name, f"controller {controller} {self.verb}: {shortened(why)}.")


class MalformedAnswer(ControllerUnreachable):
    """An answer that is not what the API promises."""

    verb = "gave an answer that cannot be understood"


class TooManyRequests(ControllerUnreachable):
    """Nothing was done; the API wants to be asked less often."""

    verb = "has too much to do"


class MachineBusy(ControllerError):
    """Something else happens to the machine just now; it is looked at again."""

    def __init__(self, host_name: str, why: str) -> None:
        super().__init__(host_name, f"its machine is busy: {shortened(why)}.")


class CredentialsRefused(ControllerError):
    """The API knows us not, or does not let us."""

    def __init__(self, host_name: str, controller: str, why: str) -> None:
        super().__init__(
            host_name,
            f"controller {controller} refuses what its file gives to log in with: {shortened(why)}.",
        )


class ControllerMisconfigured(ControllerError):
    """The controller's file names something that is not there, or nothing where something is needed."""

    def __init__(self, host_name: str, controller: str, why: str) -> None:
        super().__init__(host_name, f"controller {controller} cannot work as configured: {shortened(why)}.")


class ActionRefused(ControllerError):
    """The API said no, and will again: a quota, a lack of capacity, a wrong setting, a broken disk."""

    def __init__(self, host_name: str, controller: str, action: str, why: str) -> None:
        super().__init__(host_name, f"controller {controller} will not {action} it: {shortened(why)}.")


class HostSettingsWrong(ControllerError):
    """The host's settings for its controller are missing or cannot work."""

    def __init__(self, host_name: str, key: str, message: str) -> None:
        self.key = key
        self.message = message
        super().__init__(host_name, f"{key} {message}.")


class StartFailed(ControllerError):
    """The machine is not running; `state` is what was seen last."""

    def __init__(self, host_name: str, state: str, why: str) -> None:
        self.state = state
        super().__init__(host_name, f"its machine does not start, it is {state}: {shortened(why)}.")


class StopFailed(ControllerError):
    """The machine is not off; `state` is what was seen last."""

    def __init__(self, host_name: str, state: str, why: str) -> None:
        self.state = state
        super().__init__(host_name, f"its machine does not stop, it is {state}: {shortened(why)}.")


class StartStopDisabled(ControllerError):
    """`local`, or `enable_start_stop: false`."""

    def __init__(self, host_name: str, controller: str, why: str) -> None:
        super().__init__(host_name, f"controller {controller} starts and stops nothing: {why}.")


class DriverNotInstalled(ControllerError):
    """The driver's library is an optional extra."""

    def __init__(self, host_name: str, controller: str, advice: str) -> None:
        super().__init__(host_name, f"controller {controller} cannot work here: {advice}.")


class ControllerClosed(ControllerError):
    """We are stopping; the machine stays as it is."""

    def __init__(self, host_name: str) -> None:
        super().__init__(host_name, "nobody waits for its machine any more, because we are stopping.")


def shortened(why: str) -> str:
    """One line of somebody else's words, without its full stop."""
    line = " ".join(why.split()).rstrip(".") or "it does not say why"
    return line if len(line) <= MAX_WHY else f"{line[:MAX_WHY]}…"

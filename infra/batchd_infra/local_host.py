"""The controller `local`, built in: machines that are on, or that people start and stop."""

from batchd_infra.controller import (
    LIMIT_SECONDS,
    Controller,
    MachineState,
    StartStopDisabled,
)
from batchd_infra.hosts import LOCAL_CONTROLLER, Host

WHY = "the machine is always on, or people start it"


class LocalController(Controller):
    """Believes that every machine runs; whether it does is seen when SSH is tried."""

    def __init__(self, name: str = LOCAL_CONTROLLER) -> None:
        super().__init__(name, enable_start_stop=False)

    def start(self, host: Host, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        raise StartStopDisabled(host.name, self.name, WHY)

    def stop(self, host: Host, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        raise StartStopDisabled(host.name, self.name, WHY)

    def status(self, host: Host) -> MachineState:
        return MachineState.RUNNING

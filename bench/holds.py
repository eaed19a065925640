"""What holds a figure back where its target is missed, by profile: processor time, two cores, SQLite."""

from collections.abc import Mapping

HOLDS: Mapping[str, str] = {
    "the same, limit 4": (
        "writes go to Prefect one at a time, with 1 to 3 ms of ours between two: 0.8 ms in Prefect's client "
        "(0.3 ms in a bare one), the rest in handing over. Jobs are read and noted meanwhile; the planner "
        "and the supervisors use the same two cores as Prefect's server."
    ),
    "enqueues, one client": (
        "alone an enqueue takes 2.5 ms: 0.5 ms in the service with its commit, 2 ms in HTTP and FastAPI; "
        "while the mirror fills Prefect they share one interpreter, and two cores with its server: 6 ms."
    ),
}

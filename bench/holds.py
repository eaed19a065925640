"""What holds a figure back where its target is missed, by profile: processor time, two cores, SQLite."""

from collections.abc import Mapping

HOLDS: Mapping[str, str] = {
    "the same, limit 4": (
        "between its calls the mirror looks for what is due (2 to 3 ms), reads the job (1.3 ms) and notes "
        "what it has shown (a commit that waits for the disk); a call costs 0.8 ms in Prefect's client and "
        "0.3 ms in a bare one. The planner and the supervisors use the same two cores as Prefect's server: "
        "with three jobs in the mirror's work at once it showed no more a second (11.0 for 10.9), and fewer "
        "jobs were done (16.2 for 18.9)."
    ),
    "enqueues, one client": (
        "alone an enqueue takes 2.5 ms: 0.5 ms in the service with its commit, 2 ms in HTTP and FastAPI; "
        "while the mirror fills Prefect they share one interpreter, and two cores with its server: 6 ms."
    ),
}

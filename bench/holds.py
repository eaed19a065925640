"""What holds a figure back where its target is missed, by profile: processor time, two cores, SQLite."""

from collections.abc import Mapping

HOLDS: Mapping[str, str] = {
    "the same, limit 4, best of 5, until all are done": (
        "each start waits for a call of its own to Prefect, the claim, and that for the call at work, "
        "which sets the state of up to four runs (60 ms). Planner, supervisors and Prefect's server "
        "share two cores."
    ),
    "the same, limit 4, best of 5, until all are Completed in Prefect": (
        "Prefect's server. The same three calls, by one client with nothing else at work, are about "
        "half as fast where the run belongs to a deployment in a work pool, as our jobs' runs do: a "
        "state takes it 16 to 25 ms instead of 8 to 15 (80 runs, three turns). In bulk it takes 12 to "
        "16 ms, and so the mirror sets states where several runs get the same; claims have a call each, "
        "because four at once are four jobs that start and end at once: 14 jobs/s done instead of 20."
    ),
}

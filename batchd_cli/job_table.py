"""Jobs as a table."""

from collections.abc import Sequence

from batchd_cli.output import local_time, print_table
from batchd_cli.records import Job, Reason

HEADINGS = ("ID", "QUEUE", "SEQ", "TYPE", "STATUS", "REASON", "USER", "CREATED", "START", "HOST", "NOTES")
CUT = {"REASON": 30, "NOTES": 12, "PARAMETERS": 16}
OPTIONAL = ("REASON", "PARAMETERS", "NOTES", "START", "HOST", "USER", "CREATED", "SEQ")


def print_jobs(jobs: Sequence[Job], *, with_queue: bool = True) -> None:
    """One line a job."""
    skipped = () if with_queue else ("QUEUE",)
    headings = (*(name for name in HEADINGS if name not in skipped), "PARAMETERS")
    print_table(headings, [job_row(job, with_queue) for job in jobs], cut=CUT, optional=OPTIONAL)


def job_row(job: Job, with_queue: bool) -> tuple[object, ...]:
    """The cells below HEADINGS, then the parameters."""
    return (
        job.id,
        *((job.queue,) if with_queue else ()),
        job.seq,
        job.type,
        job.status,
        reason_sentence(job.reason) or progress_sentence(job),
        job.user_name,
        job.create_time,
        job.start_time,
        job.host_name,
        job.notes,
        " ".join(f"{name}={value}" for name, value in job.params.items()),
    )


def progress_sentence(job: Job) -> str | None:
    """How far a running job is, and when it may end; None where its output tells nothing."""
    if job.status != "Processing":
        return None
    done = f"{job.progress.percent:.0f} %" if job.progress else None
    end = f"about {local_time(job.expected_end)}" if job.expected_end else None
    if done is None and end is None:
        return None
    return ", ".join(filter(None, (done, end and f"ends {end}")))


UNTIL = {"window": "opens", "host-failed": "next try"}
"""What happens at the end of a reason; of any other: the job starts `not before` it."""


def reason_sentence(reason: Reason | None) -> str | None:
    """Why a job waits, and what happens when, if known; None for an older manager, which does not say."""
    if reason is None:
        return None
    said = reason.text or reason.code
    if reason.until is None:
        return said
    return f"{said} ({UNTIL.get(reason.code, 'not before')} {local_time(reason.until)})"

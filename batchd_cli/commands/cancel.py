"""`batch cancel`: jobs ended by a person."""

from batchd_cli.bulk import Verb, bulk_command

WAITING_OR_RUNNING = ("New", "Waiting", "Processing", "Postponed")

command = bulk_command(
    Verb(
        name="cancel",
        done="is cancelled",
        statuses=WAITING_OR_RUNNING,
        meant=WAITING_OR_RUNNING,
        act=lambda client, number: client.cancel_job(number),
    ),
    """Stop jobs that run, and take those that wait out of the turn.

    They stay in the list as Failed, with who cancelled them; `batch retry` runs them again.

    \b
    Examples:
      batch cancel 17
      batch cancel 3-7 12
      batch cancel last                       your newest job
      batch cancel --queue night --user anna --dry-run
    """,
)

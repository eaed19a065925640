"""`batch release`: jobs that were held."""

from batchd_cli.bulk import Verb, bulk_command

command = bulk_command(
    Verb(
        name="release",
        done="waits again",
        statuses=("Postponed",),
        meant=("Postponed",),
        act=lambda client, number: client.update_job(number, status="New"),
    ),
    """Let jobs that are held start again.

    \b
    Examples:
      batch release 17
      batch release --queue night
    """,
)

"""`batch retry`: ended jobs once more."""

from batchd_cli.bulk import Verb, bulk_command

command = bulk_command(
    Verb(
        name="retry",
        done="waits to run again",
        statuses=("Failed", "Done"),
        meant=("Failed",),
        act=lambda client, number: client.update_job(number, status="New"),
    ),
    """Run failed jobs again.

    Their count of failures starts at 0. By its id a job that is Done runs again too; filters mean the failed
    ones.

    \b
    Examples:
      batch retry 17
      batch retry --queue night --since yesterday
      batch retry --user anna --dry-run
    """,
)

"""`batch hold`: jobs that shall not start."""

from batchd_cli.bulk import Verb, bulk_command

command = bulk_command(
    Verb(
        name="hold",
        done="is held",
        statuses=("New", "Waiting"),
        meant=("New",),
        act=lambda client, number: client.update_job(number, status="Postponed"),
    ),
    """Keep waiting jobs from starting.

    They keep their place and are Postponed until `batch release`.

    \b
    Examples:
      batch hold 17
      batch hold --queue night --yes
    """,
)

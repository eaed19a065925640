"""`batch queue`: show, add, change or delete a queue."""

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.output import print_fields, print_json
from batchd_cli.parameters import AUTOSTART, NO_AUTOSTART
from batchd_cli.queue_words import window_sentence
from batchd_cli.session import Session, pass_session

NOBODY_ELSE = "no"


@click.command("queue", cls=Command)
@click.argument("name", shell_complete=completing.QUEUE)
@click.option("--view", is_flag=True, help="Show it (the default).")
@click.option("-a", "--add", is_flag=True, help="Add it; what is not given has a default.")
@click.option("-u", "--update", is_flag=True, help="Change it; implied by the options that change something.")
@click.option("-d", "--delete", is_flag=True, help="Delete it; refused while jobs are in it.")
@click.option("-f", "--force", is_flag=True, help="With -d: its jobs go too.")
@click.option(
    "-s", "--schedule", metavar="SCHEDULE", shell_complete=completing.SCHEDULE, help="When it starts jobs."
)
@click.option(
    "-h", "--host", metavar="HOST", shell_complete=completing.HOST, help="Where its jobs run; * for here."
)
@click.option("-n", "--name", "--title", "title", metavar="TITLE", help="What people call it.")
@click.option("-e", "--enable", is_flag=True, help="It starts jobs.")
@click.option("-D", "--disable", is_flag=True, help="It starts none, and takes them all the same.")
@click.option("--autostart", type=AUTOSTART, metavar="N|no", help="Enable it when N jobs wait in it.")
@click.option("--run-as", metavar="USER|no", help="As whom its jobs run here; superusers may say that.")
@click.option("--work-pool", metavar="POOL|no", help="Workers of that Prefect work pool run its jobs.")
@pass_session
def command(
    session: Session,
    name: str,
    view: bool,
    add: bool,
    update: bool,
    delete: bool,
    force: bool,
    schedule: str | None,
    host: str | None,
    title: str | None,
    enable: bool,
    disable: bool,
    autostart: int | None,
    run_as: str | None,
    work_pool: str | None,
) -> None:
    """Show, add, change or delete a queue.

    \b
    Examples:
      batch queue night
      batch queue night -a -s nightly -n "Long nights"
      batch queue night -D                  it starts no more jobs
      batch queue night --autostart 10
      batch queue night --run-as render     where the daemon runs as root
      batch queue cluster --work-pool k8s   its jobs run where the workers of that pool are
      batch queue night -d -f               with its jobs
    """
    fields = _fields(schedule, host, title, enable, disable, autostart)
    if run_as is not None:
        fields["run_as"] = "" if run_as == NOBODY_ELSE else run_as
    if work_pool is not None:
        fields["work_pool"] = "" if work_pool == NOBODY_ELSE else work_pool
    if add + update + delete + view > 1:
        raise click.UsageError("give one of -a, -u, -d and --view")
    if (delete or view) and fields:
        raise click.UsageError("this goes with no option that changes the queue")
    if enable and disable:
        raise click.UsageError("give -e or -D, not both")
    if force and not delete:
        session.warn("-f means something only with -d")
    if update and not fields:
        raise click.UsageError(
            "nothing to change; give -s, -h, -n, -e, -D, --autostart, --run-as or --work-pool"
        )
    _act(session, name, fields, add=add, delete=delete, force=force)


def _act(
    session: Session, name: str, fields: dict[str, object], *, add: bool, delete: bool, force: bool
) -> None:
    if add:
        if fields.get("host_name") == "*":
            del fields["host_name"]  # a new queue has none; the star is for changes
        session.client.create_queue(name, **fields)
        session.done(f"queue {name} is added", name=name)
    elif delete:
        session.client.delete_queue(name, forced=force)
        session.done(f"queue {name} is deleted", name=name)
    elif fields:
        session.client.update_queue(name, **fields)
        session.done(f"queue {name} is changed", name=name)
    else:
        _show(session, name)


def _fields(
    schedule: str | None,
    host: str | None,
    title: str | None,
    enable: bool,
    disable: bool,
    autostart: int | None,
) -> dict[str, object]:
    fields: dict[str, object] = {}
    if schedule is not None:
        fields["schedule_name"] = schedule
    if host is not None:
        fields["host_name"] = host or "*"
    if title is not None:
        fields["title"] = title
    if enable or disable:
        fields["enabled"] = enable
    if autostart is not None:
        fields["autostart_job_count"] = None if autostart == NO_AUTOSTART else autostart
    return fields


def _show(session: Session, name: str) -> None:
    queue = session.client.queue(name)
    if session.json:
        print_json(queue)
        return
    print_fields(
        (
            ("Name", queue.name),
            ("Title", queue.title),
            ("Enabled", queue.enabled),
            ("Schedule", queue.schedule_name),
            ("Host", queue.host_name),
            ("Autostart", queue.autostart_job_count),
            ("Jobs at once", queue.max_jobs),
            ("Run as", queue.run_as),
            ("Work pool", queue.work_pool),
            ("Window", window_sentence(queue)),
            ("Done by about", queue.expected_end),
        )
    )

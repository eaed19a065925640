"""`batch schedule`: show, add or delete schedules."""

import re

import click

from batchd_cli.common import Command
from batchd_cli.errors import NothingFound
from batchd_cli.output import print_table
from batchd_cli.records import Period, Schedule
from batchd_cli.session import Session, pass_session

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PERIOD = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?[ -]+(\d{1,2}):(\d\d)(?::(\d\d))?")


class PeriodType(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """`HH:MM:SS HH:MM:SS`; the seconds may be left out."""

    name = "period"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Period:
        match = _PERIOD.fullmatch(str(value).strip())
        if not match:
            sentence = f"{value!r} is no period; write for example '22:00:00 06:00:00'"
            raise click.BadParameter(sentence, ctx, param)
        figures = [int(one or 0) for one in match.groups()]
        if any(hour > 23 for hour in figures[::3]) or any(one > 59 for one in figures):
            sentence = f"{value!r} has an hour after 23 or a minute or second after 59"
            raise click.BadParameter(sentence, ctx, param)
        begin, end = ("{:02}:{:02}:{:02}".format(*three) for three in (figures[:3], figures[3:]))
        return Period(begin=begin, end=end)


class WeekdayType(click.ParamType):  # type: ignore[type-arg]  # as above
    """An English day name, in either case, also its first three letters."""

    name = "weekday"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).lower()
        for day in WEEKDAYS:
            if text in (day.lower(), day.lower()[:3]):
                return day
        raise click.BadParameter(f"{value!r} is not one of {', '.join(WEEKDAYS)}", ctx, param)


@click.command("schedule", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--view", is_flag=True, help="Show them (the default).")
@click.option("-a", "--add", is_flag=True, help="Add it.")
@click.option("-d", "--delete", is_flag=True, help="Delete it; refused while a queue uses it.")
@click.option("-f", "--force", is_flag=True, help="With -d: the queues that use it go too, with their jobs.")
@click.option(
    "-p",
    "--period",
    "periods",
    type=PeriodType(),
    multiple=True,
    metavar="'HH:MM:SS HH:MM:SS'",
    help="From, to; may run over midnight; may be repeated. None: all day.",
)
@click.option(
    "-w",
    "--weekday",
    "weekdays",
    type=WeekdayType(),
    multiple=True,
    metavar="WEEKDAY",
    help="On this day; may be repeated. None: every day.",
)
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    view: bool,
    add: bool,
    delete: bool,
    force: bool,
    periods: tuple[Period, ...],
    weekdays: tuple[str, ...],
) -> None:
    """Show, add or delete schedules.

    \b
    Examples:
      batch schedule
      batch schedule -a nightly -p "22:00:00 06:00:00"
      batch schedule -a weekend -w Saturday -w Sunday
      batch schedule -d nightly
    """
    if view + add + delete > 1:
        raise click.UsageError("give one of -a, -d and --view")
    if (add or delete) and not names:
        raise click.UsageError("name the schedule")
    if (periods or weekdays) and not add:
        raise click.UsageError("-p and -w go with -a: a schedule is not changed, but added anew")
    if force and not delete:
        session.warn("-f means something only with -d")
    if add:
        for name in names:
            session.client.create_schedule(
                Schedule(name=name, weekdays=weekdays or None, time=periods or None)
            )
            session.say(f"schedule {name} is added")
    elif delete:
        for name in names:
            session.client.delete_schedule(name, forced=force)
            session.say(f"schedule {name} is deleted")
    else:
        _show(session, names)


def _show(session: Session, names: tuple[str, ...]) -> None:
    schedules = session.client.schedules()
    missing = [name for name in names if name not in {one.name for one in schedules}]
    if missing:
        raise NothingFound(f"no schedule {', '.join(missing)}")
    rows = [
        (
            schedule.name,
            ", ".join(schedule.weekdays) if schedule.weekdays else "any",
            ", ".join(f"{one.begin} {one.end}" for one in schedule.time) if schedule.time else "any",
        )
        for schedule in schedules
        if not names or schedule.name in names
    ]
    print_table(("NAME", "WEEKDAYS", "TIME"), rows)

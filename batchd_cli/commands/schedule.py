"""`batch schedule`: when queues start jobs."""

import re

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.errors import NotFound, NothingFound
from batchd_cli.nearby import did_you_mean
from batchd_cli.output import cell, local_time, print_json, print_table
from batchd_cli.records import Opening, Period, Schedule
from batchd_cli.session import Session, pass_session

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ANY = "any"
OPENINGS = "openings"
USUAL_OPENINGS = 5  # of a named one where no count is given
MOST_OPENINGS = 100
_PERIOD = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?[ -]+(\d{1,2}):(\d\d)(?::(\d\d))?")


class PeriodType(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """`HH:MM:SS HH:MM:SS`; the seconds may be left out."""

    name = "period"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Period | str:
        if str(value).lower() == ANY:
            return ANY
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
        if text == ANY:
            return ANY
        for day in WEEKDAYS:
            if text in (day.lower(), day.lower()[:3]):
                return day
        raise click.BadParameter(f"{value!r} is not one of {', '.join(WEEKDAYS)}", ctx, param)


@click.command("schedule", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completing.SCHEDULE)
@click.option("--view", is_flag=True, help="Show them (the default).")
@click.option("-a", "--add", is_flag=True, help="Add it.")
@click.option(
    "-u", "--update", is_flag=True, help="Change it; implied by -p and -w. What is not given stays."
)
@click.option("-d", "--delete", is_flag=True, help="Delete it; refused while a queue uses it.")
@click.option("-f", "--force", is_flag=True, help="With -d: the queues that use it go too, with their jobs.")
@click.option(
    "-p",
    "--period",
    "periods",
    type=PeriodType(),
    multiple=True,
    metavar="'HH:MM:SS HH:MM:SS'",
    help="From, to; may run over midnight; may be repeated. None, or any: all day.",
)
@click.option(
    "-w",
    "--weekday",
    "weekdays",
    type=WeekdayType(),
    multiple=True,
    metavar="WEEKDAY",
    help="On this day; may be repeated. None, or any: every day.",
)
@click.option(
    "-c",
    "--count",
    type=click.IntRange(1, MOST_OPENINGS),
    metavar="N",
    help="Show the next N openings (default: 1, of named ones 5).",
)
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    view: bool,
    add: bool,
    update: bool,
    delete: bool,
    force: bool,
    periods: tuple[Period | str, ...],
    weekdays: tuple[str, ...],
    count: int | None,
) -> None:
    """Show, add, change or delete schedules, and when they open next.

    \b
    Examples:
      batch schedule
      batch schedule nightly -c 10                 its next ten openings
      batch schedule -a nightly -p "22:00:00 06:00:00"
      batch schedule -a weekend -w Saturday -w Sunday
      batch schedule -u nightly -w any             every day from now on
      batch schedule -d nightly
    """
    if view + add + update + delete > 1:
        raise click.UsageError("give one of -a, -u, -d and --view")
    changing = update or (bool(periods or weekdays) and not add)
    if (add or changing or delete) and not names:
        raise click.UsageError("name the schedule")
    if (delete or view) and (periods or weekdays):
        raise click.UsageError("-p and -w go with -a and -u")
    if update and not (periods or weekdays):
        raise click.UsageError("nothing to change; give -p or -w")
    if force and not delete:
        session.warn("-f means something only with -d")
    if not (add or changing or delete):
        _show(session, names, count or (USUAL_OPENINGS if names else 1))
        return
    for name in names:
        if add:
            session.client.create_schedule(
                Schedule(name=name, weekdays=_days(weekdays), time=_periods(periods))
            )
        elif changing:
            _change(session, name, periods, weekdays)
        else:
            session.client.delete_schedule(name, forced=force)
        done = "added" if add else "changed" if changing else "deleted"
        session.done(f"schedule {name} is {done}", name=name)


def _days(weekdays: tuple[str, ...]) -> tuple[str, ...] | None:
    return tuple(day for day in weekdays if day != ANY) or None


def _periods(periods: tuple[Period | str, ...]) -> tuple[Period, ...] | None:
    return tuple(period for period in periods if isinstance(period, Period)) or None


def _change(
    session: Session, name: str, periods: tuple[Period | str, ...], weekdays: tuple[str, ...]
) -> None:
    session.client.update_schedule(
        name,
        weekdays=_days(weekdays) if weekdays else (),
        time=_periods(periods) if periods else (),
    )


def _show(session: Session, names: tuple[str, ...], count: int) -> None:
    schedules = session.client.schedules()
    known = [one.name for one in schedules]
    missing = [name for name in names if name not in known]
    if missing:
        raise NothingFound(f"no schedule {', '.join(missing)}", hint=_meant(names, missing, known))
    shown = [
        (schedule, _openings(session, schedule.name, count))
        for schedule in schedules
        if not names or schedule.name in names
    ]
    if session.json:
        print_json([schedule.to_json() | {"openings": openings} for schedule, openings in shown])
        return
    rows = [
        (
            schedule.name,
            ", ".join(schedule.weekdays) if schedule.weekdays else "any",
            ", ".join(f"{one.begin} {one.end}" for one in schedule.time) if schedule.time else "any",
            opening_words(openings[0]) if openings else None,
        )
        for schedule, openings in shown
    ]
    print_table(("NAME", "WEEKDAYS", "TIME", "NEXT"), rows, optional=("NEXT",))
    if count > 1:
        for schedule, openings in shown:
            _list_openings(schedule, openings)


def _meant(names: tuple[str, ...], missing: list[str], known: list[str]) -> str | None:
    if missing == [OPENINGS]:
        named = next((name for name in names if name != OPENINGS), "NAME")
        return f"`batch schedule {named} -c {USUAL_OPENINGS}` shows the next {USUAL_OPENINGS} openings"
    return did_you_mean(missing[0], known)


def _openings(session: Session, name: str, count: int) -> list[Opening]:
    """None for an older manager, which does not say."""
    try:
        return session.client.openings(name, count)
    except NotFound:
        return []


def _list_openings(schedule: Schedule, openings: list[Opening]) -> None:
    if openings:
        click.echo(f"Next openings of {cell(schedule.name)}:")
    for opening in openings:
        click.echo(f"  {opening_words(opening)}")


def opening_words(opening: Opening) -> str:
    """From when to when."""
    begin = local_time(opening.begin)
    return f"{begin} to {local_time(opening.end)}" if opening.end else f"{begin} on"

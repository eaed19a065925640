"""`batch monitor`: the current metrics."""

import json

import click

from batchd_cli.common import Command
from batchd_cli.output import print_json, print_table
from batchd_cli.records import Metric
from batchd_cli.session import Session, pass_session


@click.command("monitor", cls=Command)
@click.argument("prefix", required=False)
@click.option("-t", "--tree", is_flag=True, help="As a tree by the dots of the names, in JSON.")
@click.option("-l", "--last", is_flag=True, help="The last stored record of the metric PREFIX, in JSON.")
@pass_session
def command(session: Session, prefix: str | None, tree: bool, last: bool) -> None:
    """Show the current metrics.

    With PREFIX: those whose names begin with it.

    \b
    Examples:
      batch monitor batchd.jobs
      batch monitor -t
      batch monitor -l batchd.jobs.New
    """
    if last and not prefix:
        raise click.UsageError("-l wants the name of one metric")
    if tree and last:
        raise click.UsageError("give -t or -l, not both")
    if last and prefix:
        click.echo(json.dumps(session.client.last_metric(prefix), indent=2, ensure_ascii=False))
    elif tree:
        click.echo(json.dumps(session.client.metrics_tree(prefix), indent=2, ensure_ascii=False))
    elif session.json:
        print_json(session.client.metrics(prefix))
    else:
        rows = [(one.name, figures(one)) for one in session.client.metrics(prefix)]
        print_table(("NAME", "VALUE"), rows)


def figures(metric: Metric) -> str:
    """What a metric of its kind has to say."""
    if metric.kind == "l":
        return metric.text or ""
    if metric.kind != "d":
        return str(metric.value)
    names = ("count", "mean", "variance", "sum", "min", "max")
    return " ".join(f"{name}={getattr(metric, name)}" for name in names)

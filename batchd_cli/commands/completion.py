"""`batch completion`: for the shells."""

import click

from batchd_cli.common import Command, Common
from batchd_cli.lazy import heavy
from batchd_cli.output import print_json


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands and names in your shell.

    Names of queues, types, hosts, schedules, users and jobs are asked of the manager when the key is pressed,
    with the password that `batch login` keeps.

    \b
    Examples:
      echo 'eval "$(batch completion bash)"' >> ~/.bashrc
      echo 'eval "$(batch completion zsh)"' >> ~/.zshrc
      batch completion fish > ~/.config/fish/completions/batch.fish
    """
    text = heavy("click_completion").script(ctx.find_root().command, shell)
    if ctx.ensure_object(Common).json:
        print_json({"shell": shell, "script": text})
    else:
        click.echo(text, nl=False)

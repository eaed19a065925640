"""click's half of completion: the scripts, and what fits at a place of a line."""

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
NAME = "batch"
VARIABLE = "_BATCH_COMPLETE"
UNQUOTED = "COMPREPLY+=($value)"
QUOTED = 'COMPREPLY+=("$(printf %q "$value")")'
# Who has nothing in .zshrc but our line has no `compdef` yet.
REGISTERED = "    compdef "
STARTED = "    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }\n" + REGISTERED


def script(group: click.Command, shell: str) -> str:
    """To be sourced by the shell. click's own for bash breaks names with a space in two, and its own for zsh
    wants completion to be started already.
    """
    kind = SHELLS[shell]
    text = kind.source_template % kind(group, {}, NAME, VARIABLE).source_vars()
    return text.replace(UNQUOTED, QUOTED).replace(REGISTERED, STARTED)


def completions(
    group: click.Command, obj: object, words: list[str], incomplete: str
) -> list[CompletionItem[str]]:
    """What may come after these words."""
    return ShellComplete(group, {"obj": obj}, NAME, VARIABLE).get_completions(words, incomplete)

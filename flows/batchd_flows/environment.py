"""What a job inherits from the dispatcher's environment: everything but secrets, or a short list."""

from __future__ import annotations

import re
from collections.abc import Mapping

from batchd_flows.command_lines import CommandLine
from batchd_flows.job_types import JobType

_SECRET_NAME = re.compile(
    r"^PREFECT|^BATCHD_|^BATCH_|PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
    r"|AUTH_STRING|CONNECTION_(STRING|URL)|DATABASE_URL|^PG(PASSFILE|SERVICE)|^CREDENTIALS_DIRECTORY",
    re.IGNORECASE,
)
# Without the scheme's other letters: a long value of letters alone would be looked through again and again.
_URL_WITH_PASSWORD = re.compile(r"[a-z0-9+.-]://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
_CLEAN = re.compile(r"^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|TERM|XDG_\w+)$")


def job_environment(inherited: Mapping[str, str], *, clean: bool = False) -> dict[str, str]:
    """The part of `inherited` that a job may see; with `clean`, only what every program needs."""
    return {
        name: value
        for name, value in inherited.items()
        if not _SECRET_NAME.search(name)
        and not _URL_WITH_PASSWORD.search(value)
        and (not clean or _CLEAN.match(name))
    }


def command_environment(
    job_type: JobType, command: CommandLine, surroundings: Mapping[str, str], of_host: Mapping[str, str]
) -> dict[str, str]:
    """What files of hosts and types set stands above parameters that their authors did not declare."""
    declared = {name: value for name, value in command.environment.items() if job_type.parameter(name)}
    return {**surroundings, **command.environment, **of_host, **job_type.environment, **declared}

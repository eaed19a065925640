"""Values of file parameters: where a relative path begins."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from batchd_cli.records import Parameter
from batchd_cli.session import Session

INPUT = "InputFile"
FILES = (INPUT, "OutputFile")


def placed_files(
    session: Session, declared: Sequence[Parameter], values: Mapping[str, str], chdir: str | None
) -> dict[str, str]:
    """The values, with the relative paths of files made whole where the manager is on this machine.

    They begin where the command will: in `chdir`, else in the current folder. A manager elsewhere does not
    know this folder: it gets them as they are, and a warning is given.
    """
    found = dict(values)
    is_here = on_this_machine(session.config.manager_url)
    for parameter in declared:
        value = values.get(parameter.name)
        if not value or parameter.type not in FILES:
            continue
        if is_here:
            found[parameter.name] = _whole(session, parameter, value, chdir)
        elif not Path(value).is_absolute():
            _warn(session, parameter.name, value, chdir)
    return found


def on_this_machine(url: str) -> bool:
    """By its address alone: a loopback one."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _whole(session: Session, parameter: Parameter, value: str, chdir: str | None) -> str:
    path = (Path(chdir or ".") / value).absolute()
    if not Path(value).is_absolute():
        session.hint(f"{parameter.name}: {value} is {path}")
    if parameter.type == INPUT and _is_missing(path):
        session.hint(f"{parameter.name}: {path} does not exist yet; it is looked for when the job starts")
    return str(path)


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # others may see it
        return False
    return False


def _warn(session: Session, name: str, value: str, chdir: str | None) -> None:
    folder = str(Path(chdir).absolute()) if chdir else "the folder of its job type, else of the daemon"
    session.warn(f"{name}: {value} is no full path; it is looked for in {folder}, where the dispatcher runs")

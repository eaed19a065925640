"""Writes docs/reference/configuration.md: keys and kinds from the records that the files are read into, defaults and
sentences from sample-configs. With --check it only says whether that is due.

python docs/make_configuration_reference.py
"""

from __future__ import annotations

import enum
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from reference_page import written_or_checked

from batchd_api.settings import known_keys
from batchd_api.settings_records import Settings
from batchd_cli.config import KEYS as CLIENT_KEYS
from batchd_cli.config import VARIABLES
from batchd_cli.config import Config as ClientConfig
from batchd_flows.job_types import JobType
from batchd_infra.docker_container import DockerSettings
from batchd_infra.ec2_settings import Ec2Settings
from batchd_infra.fake_controller import FakeSettings
from batchd_infra.hosts import Host
from batchd_infra.libvirt_domain import LibvirtSettings
from batchd_infra.linode_settings import MACHINE_KEYS, LinodeSettings

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample-configs"
PAGE = Path(__file__).parent / "reference" / "configuration.md"
ENDINGS = {"": "", "_seconds": "duration", "_days": "days", "_bytes": "size"}
CONTROLLERS = {
    "libvirt": LibvirtSettings,
    "docker": DockerSettings,
    "ec2": Ec2Settings,
    "linode": LinodeSettings,
    "fake": FakeSettings,
}
# Keys that are read into something else than a field of their name.
KINDS = {
    "on_fail": "word or mapping",
    "params": "list of mappings",
    "template": "text or list of lines",
    "manager.auth.static_salt": "text",
    "credentials": "word or mapping",
    "enable_start_stop": "true or false",
    "name": "text",
    "metrics.prometheus": "login or open",
}

INTRODUCTION = """\
# Configuration

<!-- Written by docs/make_configuration_reference.py from the records and sample-configs; do not edit. -->

YAML, under `~/.config/batchd/` first, then `/etc/batchd/`; `--config PATH` or `BATCHD_CONFIG` names `batchd.yaml` elsewhere,
and then the folders `hosts/`, `jobtypes/` and `controllers/` beside it count, too. `batchd-admin check-config` reads every
file and says what is wrong, with line and key. A daemon reads its files when it starts.

A duration is a number of seconds, or has its unit, as in `90 s`, `5 min`, `2 h`, `3 d`; a size is a number of bytes, or such as
`500M`, `2G`. `—` stands for no default: the sentence says what then counts.
"""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key as a sample shows it; `place` is that of its sections, with dots. `is_set`: it is no comment."""

    place: str
    value: str
    sentence: str
    is_set: bool


def keys_of(sample: Path) -> Iterator[Key]:
    """Comments above a key are its sentence; those above the first empty line, and of a section, are nobody's."""
    said: list[str] = []
    sections: list[str] = []
    for line in sample.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"(#?)((?:  )*)([a-z_0-9]+):(?: (.*))?", line):
            depth, is_set = len(found[2]) // 2, not found[1]
            sections[depth:] = [found[3]]
            yield Key(
                place=".".join(sections),
                value=(found[4] or "").strip(),
                sentence=" ".join(said),
                is_set=is_set,
            )
            said = []
        elif line.startswith("# "):
            said.append(line.removeprefix("# ").strip())
        elif not line.strip():
            said = []


def shown_keys(sample: Path) -> list[Key]:
    """Without sections, which have keys below them."""
    found = list(keys_of(sample))
    places = [key.place for key in found]
    return [key for key in found if not any(other.startswith(f"{key.place}.") for other in places)]


# Kinds, from the records


def kind(record: type, place: str) -> str:
    if place in KINDS:
        return KINDS[place]
    if place == "manager.auth" or (record is not Settings and "." in place):
        return "mapping"
    for name in place.split(".")[:-1]:
        record = typing.get_type_hints(record)[name]
    hints, last = typing.get_type_hints(record), place.split(".")[-1]
    for ending, word in ENDINGS.items():
        if (name := last + ending) in hints:
            return word or word_of(hints[name])
    return word_of(hints[f"{last}s"])


def word_of(hint: Any) -> str:
    options = [one for one in typing.get_args(hint) if one is not types.NoneType]
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType) and len(options) == 1:
        return word_of(options[0])
    if origin is not None:
        return "names with values" if issubclass(origin, Mapping) else "list"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return ", ".join(f"`{one.value}`" for one in hint)
    words = {bool: "true or false", int: "whole number", float: "number", Path: "path", SecretStr: "text"}
    return "mapping" if is_dataclass(hint) else words.get(hint, "text")


# The page


def page() -> str:
    return "\n".join([INTRODUCTION, *daemon(), *records(), *controllers(), *client()])


def table(record: type, keys: list[Key]) -> Iterator[str]:
    yield "| key | is | default | |\n|---|---|---|---|"
    for key in keys:
        assert key.sentence, f"the sample says nothing of {key.place}"
        cells = (f"`{key.place}`", kind(record, key.place), default_of(record, key), key.sentence)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def default_of(record: type, key: Key) -> str:
    """A key that is set is needed, unless the record says what it is otherwise."""
    value: object = key.value
    if key.is_set:
        found = next(one for one in fields(record) if one.name == key.place)
        if found.default is MISSING:
            return "needed"
        value = found.default
    return f"`{value}`" if value else "—"


def daemon() -> Iterator[str]:
    keys = shown_keys(SAMPLES / "batchd.yaml")
    assert sorted(key.place for key in keys) == sorted(known_keys())
    yield "## batchd.yaml\n"
    yield "For manager and dispatcher; without a file everything has its default.\n"
    yield from table(Settings, keys)


def records() -> Iterator[str]:
    for title, folder, record, note in (
        ("jobtypes/NAME.yaml", "jobtypes", JobType, "What can be enqueued. A file may be Python, too ([flows](../flows.md))."),
        ("hosts/NAME.yaml", "hosts", Host, "Machines ([hosts](../hosts.md)). Settings for its controller stand under a key named like that."),
    ):  # fmt: skip
        keys = [key for key in shown_keys(SAMPLES / folder / "every-key.yaml") if key.place != "name"]
        assert {key.place for key in keys} == file_keys(record) - {"name"}
        yield f"## {title}\n\n{note}\n"
        yield from table(record, keys)


def file_keys(record: type) -> set[str]:
    """What the record's fields are called in a file."""
    names = {one.name for one in fields(record)} - {"source", "controller_settings"}
    return {re.sub(r"_(seconds|bytes|days)$", "", name) for name in names}


def controllers() -> Iterator[str]:
    yield from below_the_controllers_name()
    yield "## controllers/NAME.yaml\n\nWhat starts and stops machines. `driver` and what it takes:\n"
    for name, record in CONTROLLERS.items():
        keys = [key for key in shown_keys(SAMPLES / "controllers" / f"{name}.yaml") if key.place not in ("name", "driver")]  # fmt: skip
        driver = next(
            key.value for key in keys_of(SAMPLES / "controllers" / f"{name}.yaml") if key.place == "driver"
        )
        yield f"### driver: {driver}\n"
        yield from table(record, keys)


def below_the_controllers_name() -> Iterator[str]:
    yield "### Under the name of its controller\n"
    yield "| driver | key | default | |\n|---|---|---|---|"
    for name, known in (("ec2", {"address"}), ("linode", MACHINE_KEYS)):
        sample = SAMPLES / "hosts" / f"{name}-worker.yaml"
        keys = [key for key in shown_keys(sample) if key.place.startswith(f"{name}.")]
        assert {key.place.partition(".")[2] for key in keys} == known
        for key in keys:
            assert key.sentence, f"the sample says nothing of {key.place}"
            default = "needed to make one" if key.is_set else "—"
            yield f"| {name} | `{key.place.partition('.')[2]}` | {default} | {key.sentence} |"
    yield ""


def client() -> Iterator[str]:
    keys = shown_keys(SAMPLES / "client.yaml")
    assert [key.place for key in keys] == sorted(CLIENT_KEYS, key=[key.place for key in keys].index)
    variables = ", ".join(f"`{name}`" for name in VARIABLES.values())
    yield f"## client.yaml\n\nFor `batch`. An option counts first, then {variables}, then this file.\n"
    yield from table(ClientConfig, keys)


def main(arguments: list[str]) -> int:
    return written_or_checked(PAGE, page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Linodes, and their API when it goes wrong: what is waited out, an error, and never done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from batchd_infra.addresses import AddressKind
from batchd_infra.controller import (
    ActionRefused,
    ControllerMisconfigured,
    ControllerUnreachable,
    CredentialsRefused,
    HostSettingsWrong,
    MachineAmbiguous,
    MachineState,
    MalformedAnswer,
    StartFailed,
    TooManyRequests,
)
from batchd_infra.hosts import Host
from batchd_infra.linode_instance import LinodeController
from batchd_infra.linode_settings import LinodeActions, LinodeSettings
from batchd_infra.power import Pace
from tests.linode_server import (
    HALF_JSON,
    LOST,
    NO_JSON,
    TOKEN,
    TOO_MANY,
    LinodeServer,
    Trouble,
    running_linode,
)
from tests.pretend_hosts import FAST, KEY, host

LIST = "/linode/instances"
IMPATIENT = replace(FAST, patience_seconds=0.3)
NEW = {"type": "g6-nanode-1", "region": "us-east", "image": "linode/debian12"}


@pytest.fixture
def linode() -> Iterator[LinodeServer]:
    with running_linode(boot_seconds=0.1) as server:
        yield server


def linodes(
    server: LinodeServer,
    folder: Path,
    actions: LinodeActions = LinodeActions.BOOT_AND_SHUTDOWN,
    pace: Pace = FAST,
    **more: Any,
) -> LinodeController:
    token = folder / "token"
    token.write_text(TOKEN)
    settings = LinodeSettings(token_file=str(token), actions=actions, api_url=server.api_url, **more)
    return LinodeController("linode", settings, pace=pace)


def creating(server: LinodeServer, folder: Path, pace: Pace = FAST) -> LinodeController:
    return linodes(server, folder, LinodeActions.CREATE_AND_DELETE, pace)


def new_host(name: str, **settings: object) -> Host:
    return host(name, public_key=KEY, controller_settings=NEW | settings)


@pytest.mark.parametrize("trouble", [TOO_MANY, Trouble(), NO_JSON, HALF_JSON, Trouble(status=503)])
def test_d13_answers_that_go_wrong_are_waited_out(
    linode: LinodeServer, tmp_path: Path, trouble: Trouble
) -> None:
    linode.add("render")
    linode.fail("GET", LIST, trouble, trouble)
    linode.fail("POST", "/boot", trouble)
    controller = linodes(linode, tmp_path)
    controller.start(host("render"))
    assert linode.labelled("render")[0]["status"] == "running"
    linode.fail("GET", LIST, trouble)
    linode.fail("POST", "/shutdown", trouble)
    controller.stop(host("render"))
    assert linode.labelled("render")[0]["status"] == "offline"
    assert linode.troubles == []


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (TOO_MANY, TooManyRequests),
        (Trouble(), ControllerUnreachable),
        (NO_JSON, MalformedAnswer),
        (HALF_JSON, MalformedAnswer),
        (Trouble(status=200, body=b"[1, 2]"), MalformedAnswer),
        (Trouble(status=200, body=b"null"), MalformedAnswer),
        (Trouble(status=200, body=b'{"data": 7, "page": 1, "pages": 1, "results": 1}'), MalformedAnswer),
        (Trouble(status=403, body=b'{"errors": [{"reason": "Unauthorized"}]}'), CredentialsRefused),
    ],
)
def test_d13_a_status_that_cannot_be_known_is_an_error_and_no_state(
    linode: LinodeServer, tmp_path: Path, trouble: Trouble, error: type[Exception]
) -> None:
    linode.fail("GET", LIST, trouble)
    with pytest.raises(error, match=r"^Host host-render: controller linode ") as raised:
        linodes(linode, tmp_path).status(host("render"))
    assert type(raised.value) is error
    assert TOKEN not in str(raised.value)


def test_d13_an_api_that_never_recovers_is_given_up_with_what_it_said(
    linode: LinodeServer, tmp_path: Path
) -> None:
    linode.add("render")
    linode.fail("GET", LIST, *[Trouble()] * 100)
    with pytest.raises(ControllerUnreachable, match="Internal Server Error"):
        linodes(linode, tmp_path, pace=IMPATIENT).start(host("render"))


def test_d13_the_api_says_how_long_to_wait_and_is_not_asked_before(
    linode: LinodeServer, tmp_path: Path
) -> None:
    linode.add("render", "running")
    linode.fail("GET", LIST, replace(TOO_MANY, headers=(("Retry-After", "1"),)))
    began = time.monotonic()
    linodes(linode, tmp_path, pace=IMPATIENT).start(host("render"))
    assert time.monotonic() - began >= 1
    assert linode.asked("GET", "/instances") == 2
    linode.fail("GET", LIST, replace(TOO_MANY, headers=(("Retry-After", "3600"),)))
    with pytest.raises(TooManyRequests):
        linodes(linode, tmp_path).start(host("render"), limit_seconds=5)


def test_d13_two_linodes_of_one_label_are_an_error_and_neither_is_touched(
    linode: LinodeServer, tmp_path: Path
) -> None:
    first, second = linode.add("render"), linode.add("render")
    controller = linodes(linode, tmp_path)
    for act in (controller.start, controller.stop, controller.status, controller.address):
        with pytest.raises(MachineAmbiguous, match=f"2 machines .*{first['id']}, {second['id']}"):
            act(host("render"))
    assert {method for method, _ in linode.requests} == {"GET"}


def test_d13_a_create_whose_answer_is_lost_is_not_made_again(linode: LinodeServer, tmp_path: Path) -> None:
    linode.fail("POST", LIST, LOST)
    creating(linode, tmp_path).start(new_host("render"))
    assert [machine["status"] for machine in linode.labelled("render")] == ["running"]
    assert len(linode.creations) == 1


def test_d13_a_create_that_was_made_twice_is_noticed(linode: LinodeServer, tmp_path: Path) -> None:
    """By a server that neither shows the first one yet nor refuses the second."""
    linode.unique_labels = False
    linode.fail("POST", LIST, LOST)
    nothing = b'{"data": [], "page": 1, "pages": 1, "results": 0}'
    linode.fail("GET", LIST, *[Trouble(status=200, body=nothing)] * 2)
    hasty = replace(FAST, ask_again_seconds=0)
    linode.fail("GET", LIST, *[Trouble(status=200, body=nothing)] * 2)
    with pytest.raises(MachineAmbiguous):
        creating(linode, tmp_path, hasty).start(new_host("render"))
    assert len(linode.creations) == 2


def test_d8_a_machine_that_does_not_come_up_is_an_error_with_its_state(
    linode: LinodeServer, tmp_path: Path
) -> None:
    linode.boot_seconds = 60
    linode.add("render")
    with pytest.raises(StartFailed, match="it is starting: it was not running within"):
        linodes(linode, tmp_path).start(host("render"), limit_seconds=0.5)


def test_d8_a_machine_that_falls_over_is_started_three_times_and_no_more(
    linode: LinodeServer, tmp_path: Path
) -> None:
    linode.add("render")
    linode.fail("POST", "/boot", *[Trouble(status=200, body=b"{}")] * 9)  # accepted, and nothing happens
    with pytest.raises(StartFailed, match="it is stopped: it was asked to 3 times"):
        linodes(linode, tmp_path, pace=replace(FAST, ask_again_seconds=0.2)).start(host("render"))
    assert linode.asked("POST", "/boot") == 3


def test_d8_a_slow_machine_holds_up_no_other(linode: LinodeServer, tmp_path: Path) -> None:
    slow, quick = linode.add("slow"), linode.add("quick")
    up = threading.Event()
    linode.on_boot = lambda machine: up.wait(30) and None if machine is slow else None
    controller = linodes(linode, tmp_path)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(controller.start, host("slow"))
        controller.start(host("quick"))
        assert (quick["status"], waiting.done()) == ("running", False)
        up.set()
        waiting.result(20)
    assert slow["status"] == "running"


def test_a_refusal_is_said_at_once_in_the_apis_own_words(linode: LinodeServer, tmp_path: Path) -> None:
    reason = b'{"errors": [{"reason": "Account Limit reached.", "field": "type"}]}'
    linode.fail("POST", LIST, Trouble(status=400, body=reason))
    with pytest.raises(ActionRefused, match="controller linode will not start it: Account Limit reached"):
        creating(linode, tmp_path).start(new_host("render"))


def test_a_busy_linode_is_waited_for(linode: LinodeServer, tmp_path: Path) -> None:
    machine = linode.add("render", "busy")
    threading.Timer(0.5, lambda: machine.update(status="offline")).start()
    linodes(linode, tmp_path).start(host("render"))
    assert machine["status"] == "running"


def test_a_linode_is_created_as_its_host_says_and_goes_away(linode: LinodeServer, tmp_path: Path) -> None:
    key = tmp_path / "id.pub"
    key.write_text(f"{KEY} ann@desk\n")
    wanted = {
        "root_password": SecretStr("Very-s3cret"),
        "stackscript_id": "17",
        "stackscript_data": {"a": "b"},
    }
    render = replace(new_host("render", **wanted), public_key=str(key))
    controller = creating(linode, tmp_path)
    controller.start(render)
    made = linode.creations[0]
    assert made == {
        "type": "g6-nanode-1", "region": "us-east", "image": "linode/debian12", "label": "render",
        "root_pass": "Very-s3cret", "authorized_keys": [f"{KEY} ann@desk"], "stackscript_id": 17,
        "stackscript_data": {"a": "b"}, "tags": ["batchd"],
    }  # fmt: skip
    controller.stop(render)
    assert linode.labelled("render") == []


def test_without_a_root_password_one_is_made_that_nobody_knows(linode: LinodeServer, tmp_path: Path) -> None:
    creating(linode, tmp_path).start(new_host("one"))
    creating(linode, tmp_path).start(new_host("two"))
    first, second = (made["root_pass"] for made in linode.creations)
    assert first != second
    assert len(first) > 30


def test_a_linode_that_somebody_else_made_is_shut_down_and_never_deleted(
    linode: LinodeServer, tmp_path: Path
) -> None:
    linode.add("render", "running")
    controller = creating(linode, tmp_path)
    controller.stop(new_host("render"))
    assert linode.labelled("render")[0]["status"] == "offline"
    controller.start(new_host("render"))
    assert linode.labelled("render")[0]["status"] == "running"
    assert linode.asked("DELETE", "") == 0


def test_a_created_linode_that_is_off_is_deleted_by_a_stop_and_booted_by_a_start(
    linode: LinodeServer, tmp_path: Path
) -> None:
    controller = creating(linode, tmp_path)
    machine = linode.add("render", tags=["batchd"])
    assert controller.status(new_host("render")) is MachineState.PAUSED
    controller.start(new_host("render"))
    assert machine["status"] == "running"
    machine["status"] = "offline"
    controller.stop(new_host("render"))
    assert linode.labelled("render") == []


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"type": None}, "type"),
        ({"image": None}, "image"),
        ({"stackscript_id": "seven"}, "stackscript_id"),
        ({"address": "home"}, "address"),
    ],
)
def test_a_host_that_cannot_be_created_is_found_before_anybody_is_asked(
    linode: LinodeServer, tmp_path: Path, changed: dict[str, object], key: str
) -> None:
    with pytest.raises(HostSettingsWrong) as raised:
        creating(linode, tmp_path).check_host(new_host("render", **changed))
    assert (raised.value.key, linode.requests) == (key, [])


def test_a_host_without_key_and_password_or_with_a_key_that_is_not_there_is_wrong(
    linode: LinodeServer, tmp_path: Path
) -> None:
    controller = creating(linode, tmp_path)
    for public_key in (None, str(tmp_path / "nothing.pub")):
        with pytest.raises(HostSettingsWrong, match="public_key"):
            controller.check_host(replace(new_host("render"), public_key=public_key))


def test_a_token_file_that_is_not_there_is_said_with_its_name(linode: LinodeServer, tmp_path: Path) -> None:
    controller = linodes(linode, tmp_path)
    (tmp_path / "token").unlink()
    with pytest.raises(ControllerMisconfigured, match=r"token_file: .*No such file.*token"):
        controller.start(host("render"))


def test_a_wrong_token_is_refused_and_not_shown(linode: LinodeServer, tmp_path: Path) -> None:
    controller = linodes(linode, tmp_path)
    (tmp_path / "token").write_text("stale-token")
    with pytest.raises(CredentialsRefused, match="Invalid Token") as raised:
        controller.start(host("render"))
    assert "stale-token" not in str(raised.value)


def test_the_address_is_the_public_or_the_private_one_or_the_hosts_own(
    linode: LinodeServer, tmp_path: Path
) -> None:
    linode.add("render", "running", ipv4=["192.168.133.7", "203.0.113.5"])
    controller = linodes(linode, tmp_path)
    private = linodes(linode, tmp_path, address=AddressKind.PRIVATE)
    assert controller.address(host("render")) == "203.0.113.5"
    assert private.address(host("render")) == "192.168.133.7"
    assert controller.address(host("render", controller_settings={"address": "private"})) == "192.168.133.7"
    assert private.address(host("render", controller_settings={"address": "host_name"})) is None

"""EC2 instances, and their API when it refuses or is slow."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    MachineAmbiguous,
    MachineNotFound,
    MachineState,
    MalformedAnswer,
    StartFailed,
    StopFailed,
    TooManyRequests,
)
from batchd_infra.ec2_instance import Ec2Controller
from batchd_infra.ec2_settings import Ec2Settings
from batchd_infra.power import Pace
from tests import ec2_server
from tests.ec2_proxy import Answer, Ec2Proxy, refusal, running_proxy
from tests.ec2_server import Ec2Server, running_ec2
from tests.pretend_hosts import FAST, KEY, host
from tests.waiting import wait_until

ABSENT = MachineState.ABSENT


@pytest.fixture(scope="module")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2Server]:
    with running_ec2(tmp_path_factory.mktemp("ec2")) as server:
        yield server


@pytest.fixture
def proxy(ec2: Ec2Server) -> Iterator[Ec2Proxy]:
    with running_proxy(ec2.url) as running:
        yield running


def instances(url: str, pace: Pace = FAST, **more: Any) -> Ec2Controller:
    key, secret = SecretStr(ec2_server.KEY), SecretStr(ec2_server.SECRET)
    settings = Ec2Settings(
        **{"region": ec2_server.REGION, "access_key": key, "secret_key": secret, "endpoint_url": url, **more}
    )
    return Ec2Controller("ec2", settings, pace=pace)


def test_an_instance_is_found_by_its_id_too(ec2: Ec2Server) -> None:
    number = ec2.add("by-id")
    instances(ec2.url).start(host(number))
    assert ec2.state(number) == "running"
    assert instances(ec2.url).status(host("i-0123456789abcdef0")) is ABSENT


def test_d13_two_instances_of_one_name_are_an_error_but_a_terminated_one_does_not_count(
    ec2: Ec2Server,
) -> None:
    numbers = [ec2.add("twin") for _ in range(2)]
    controller = instances(ec2.url)
    for act in (controller.start, controller.stop, controller.status):
        with pytest.raises(MachineAmbiguous, match=", ".join(sorted(numbers))):
            act(host("twin"))
    ec2.client().terminate_instances(InstanceIds=numbers[:1])
    controller.start(host("twin"))
    assert [ec2.state(number) for number in numbers] == ["terminated", "running"]


def test_a_terminated_instance_is_absent_and_never_started(ec2: Ec2Server) -> None:
    number = ec2.add("over")
    ec2.client().terminate_instances(InstanceIds=[number])
    controller = instances(ec2.url)
    for machine in (number, "over"):
        assert controller.status(host(machine)) is ABSENT
        with pytest.raises(MachineNotFound, match="terminated, which nothing undoes"):
            controller.start(host(machine))
        controller.stop(host(machine))
    assert ec2.state(number) == "terminated"


def test_a_name_is_no_pattern(ec2: Ec2Server) -> None:
    ec2.add("pattern-1")
    assert instances(ec2.url).status(host("pattern-*")) is ABSENT


def test_d8_start_and_stop_wait_for_what_ec2_is_still_doing(ec2: Ec2Server, proxy: Ec2Proxy) -> None:
    number = ec2.add("slow")
    controller = instances(proxy.url)
    controller.status(host("slow"))  # the SDK takes a second to load
    shown = b"pending"

    def held_back(_action: str, answer: Answer) -> Answer:
        status, body = answer
        for name in (b"running", b"stopped"):
            body = body.replace(b"<name>" + name + b"</name>", b"<name>" + shown + b"</name>")
        return status, body

    proxy.change = held_back
    ec2.client().start_instances(InstanceIds=[number])
    with pytest.raises(StartFailed, match="it is starting: it was not running within"):
        controller.start(host("slow"), limit_seconds=0.5)
    ec2.client().stop_instances(InstanceIds=[number])
    shown = b"stopping"
    with pytest.raises(StopFailed, match="it is stopping: it was not off within"):
        controller.stop(host("slow"), limit_seconds=0.5)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(controller.stop, host("slow"))
        looks = len(proxy.asked)
        wait_until(lambda: len(proxy.asked) > looks + 1, 20, "it is looked at again")
        assert not waiting.done()
        proxy.change = lambda _action, answer: answer
        waiting.result(20)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refusal(400, "RequestLimitExceeded"), TooManyRequests, "RequestLimitExceeded"),
        (refusal(500, "InternalError"), ControllerUnreachable, "InternalError"),
        (refusal(401, "AuthFailure"), CredentialsRefused, "AuthFailure"),
        (refusal(403, "UnauthorizedOperation"), CredentialsRefused, "UnauthorizedOperation"),
        ((200, b"<html>no XML of ours"), MalformedAnswer, "cannot be understood"),
        ((200, b"<a/>"), MalformedAnswer, "cannot be understood"),
    ],
)
def test_d13_refusals_of_ec2_are_errors_of_ours_without_the_keys(
    proxy: Ec2Proxy, answer: tuple[int, bytes], error: type[Exception], words: str
) -> None:
    proxy.instead["DescribeInstances"] = [answer] * 9
    with pytest.raises(error, match=words) as raised:
        instances(proxy.url).status(host("any"))
    assert type(raised.value) is error
    assert not [secret for secret in (ec2_server.KEY, ec2_server.SECRET) if secret in str(raised.value)]


def test_d8_no_capacity_is_said_at_once_and_a_wrong_state_is_looked_at_again(
    ec2: Ec2Server, proxy: Ec2Proxy
) -> None:
    number = ec2.add("wanted")
    controller = instances(proxy.url)
    proxy.instead["StartInstances"] = [refusal(500, "InsufficientInstanceCapacity", "none left")] * 3
    with pytest.raises(ActionRefused, match="will not start it: InsufficientInstanceCapacity: none left"):
        controller.start(host("wanted"))
    proxy.instead["StartInstances"] = [refusal(400, "IncorrectInstanceState")]
    controller.start(host("wanted"))
    assert ec2.state(number) == "running"


def test_host_keys_are_those_that_the_last_boot_wrote_to_the_console(ec2: Ec2Server, proxy: Ec2Proxy) -> None:
    ec2.add("keys", running=True)
    old, new = KEY, KEY.replace("IGFu", "INEW")
    rsa = f"ssh-rsa {'A' * 372}"
    block = "-----BEGIN SSH HOST KEY KEYS-----\r\n{} root@ip\r\n-----END SSH HOST KEY KEYS-----\r\n"
    console = "[ 3.1] boot\r\n" + block.format(old) + "again\r\n" + block.format(f"{new} root@ip\r\n{rsa}")
    encoded = base64.b64encode(console.encode()).decode()
    proxy.change = lambda action, answer: (
        (200, f"<GetConsoleOutputResponse><output>{encoded}</output></GetConsoleOutputResponse>".encode())
        if action == "GetConsoleOutput"
        else answer
    )
    assert instances(proxy.url).host_keys(host("keys")) == (new, rsa)
    encoded = base64.b64encode(b"still booting").decode()
    assert instances(proxy.url).host_keys(host("keys")) == ()


def test_the_address_may_be_the_private_one(ec2: Ec2Server) -> None:
    ec2.add("inside", running=True)
    address = instances(ec2.url, address=AddressKind.PRIVATE).address(host("inside"))
    assert str(address).startswith("10.")
    assert instances(ec2.url).address(host("inside", controller_settings={"address": "host_name"})) is None


def test_a_profile_that_is_not_there_and_no_region_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    file = tmp_path / "credentials"
    file.write_text("[ours]\naws_access_key_id = a\naws_secret_access_key = b\n")
    bare: dict[str, Any] = {"access_key": None, "secret_key": None, "credentials_path": str(file)}
    with pytest.raises(ControllerMisconfigured, match="theirs"):
        instances("http://127.0.0.1:9", profile="theirs", **bare).status(host("x"))
    with pytest.raises(ControllerMisconfigured, match="region"):
        instances("http://127.0.0.1:9", profile="ours", region=None, **bare).status(host("x"))


def test_credentials_come_from_the_file_and_profile_that_are_named(
    ec2: Ec2Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    file = tmp_path / "credentials"
    file.write_text("[ours]\naws_access_key_id = from-the-file\naws_secret_access_key = b\n")
    controller = instances(
        ec2.url, access_key=None, secret_key=None, credentials_path=str(file), profile="ours"
    )
    assert controller.status(host("nobody")) is ABSENT
    assert controller._client._request_signer._credentials.access_key == "from-the-file"

"""Controllers as blocks of a real Prefect server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from batchd_api.controller_blocks import show_controllers
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_blocks import (
    BLOCKS,
    BlockChanges,
    DockerContainers,
    Ec2Instances,
    HostController,
    LibvirtDomains,
    LinodeInstances,
    block_of,
    write_blocks,
)
from batchd_infra.controller import MachineState
from batchd_infra.controllers import Controllers, load_controllers
from batchd_infra.ec2_instance import Ec2Controller
from tests.linode_server import TOKEN, running_linode
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio
US = "this-machine-123456"
FILES = {
    "virt": "name: virt\ndriver: libvirt\nconnection_string: test:///default\n",
    "boxes": "name: boxes\ndriver: docker\nunix_socket: /nowhere.sock\nenable_start_stop: false\n",
    "amazon": "name: amazon\ndriver: awsec2\nregion: Frankfurt\n"
    "credentials: {access_key: AKIA1, secret_key: hunter2}\n",
    "akamai": "name: akamai\ndriver: linode\ntoken_file: /nowhere\nactions: create_and_delete\n",
}


@pytest.fixture(autouse=True)
def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load tells the server of the environment, which in tests is nobody."""
    monkeypatch.setattr(HostController, "_event_method_called_resources", lambda _self: None)


@pytest.fixture
async def orchestrator(prefect_server: PrefectServer) -> AsyncIterator[Orchestrator]:
    async with Orchestrator(prefect_server.api_url, SecretStr(prefect_server.auth_string)) as made:
        yield made
        await write_blocks(made, [], US)


def controllers(folder: Path, **files: str) -> Controllers:
    (folder / "controllers").mkdir(exist_ok=True)
    for file in (folder / "controllers").iterdir():
        file.unlink()
    for name, text in files.items():
        (folder / "controllers" / f"{name}.yaml").write_text(text)
    return load_controllers([folder])[0]


async def load(orchestrator: Orchestrator, kind: type[Any], name: str) -> Any:
    return await kind.aload(name, client=orchestrator.client)


async def test_each_controller_is_a_block_with_the_fields_of_its_file(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    changes = await write_blocks(orchestrator, controllers(tmp_path, **FILES), US)
    assert set(changes.created) == set(FILES)
    virt = await load(orchestrator, LibvirtDomains, "virt")
    boxes = await load(orchestrator, DockerContainers, "boxes")
    amazon = await load(orchestrator, Ec2Instances, "amazon")
    akamai = await load(orchestrator, LinodeInstances, "akamai")
    assert (virt.controller_name, virt.connection_string) == ("virt", "test:///default")
    assert (boxes.unix_socket, boxes.enable_start_stop) == ("/nowhere.sock", False)
    assert (amazon.region, amazon.secret_key) == ("eu-central-1", SecretStr("hunter2"))
    assert (akamai.token_file, akamai.actions) == ("/nowhere", "create_and_delete")


async def test_what_is_as_the_file_says_is_not_written_again(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    loaded = controllers(tmp_path, **FILES)
    await write_blocks(orchestrator, loaded, US)
    assert await write_blocks(orchestrator, loaded, US) == BlockChanges()


async def test_a_block_that_was_edited_in_the_ui_is_written_anew_and_said(
    orchestrator: Orchestrator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = controllers(tmp_path, virt=FILES["virt"])
    await show_controllers(orchestrator, loaded, US)
    block = await load(orchestrator, LibvirtDomains, "virt")
    block.connection_string = "qemu:///system"
    await block.asave("virt", overwrite=True, client=orchestrator.client)
    await show_controllers(orchestrator, loaded, US)
    assert (await load(orchestrator, LibvirtDomains, "virt")).connection_string == "test:///default"
    assert "the block of controller virt was not as its file says" in caplog.text


async def test_a_block_whose_file_is_gone_is_deleted_and_those_of_others_stay(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    mine = LibvirtDomains(controller_name="mine")
    await mine.asave("mine", client=orchestrator.client)
    await write_blocks(orchestrator, controllers(tmp_path, virt=FILES["virt"]), "another-machine")
    await write_blocks(orchestrator, controllers(tmp_path, boxes=FILES["boxes"]), US)
    changes = await write_blocks(orchestrator, controllers(tmp_path), US)
    assert changes == BlockChanges(deleted=("boxes",))
    await load(orchestrator, LibvirtDomains, "mine")
    await load(orchestrator, LibvirtDomains, "virt")
    await write_blocks(orchestrator, [], "another-machine")


async def test_a_name_that_prefect_refuses_becomes_a_slug_with_the_true_name_beside_it(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    loaded = controllers(tmp_path, **{"Старый Hyp": "name: Старый Hyp\ndriver: libvirt\n"})
    await write_blocks(orchestrator, loaded, US)
    documents = await orchestrator.client.read_block_documents_by_type("batchd-libvirt")
    found = {document.data["controller_name"]: document.name for document in documents}
    assert found["Старый Hyp"].startswith("hyp-")


async def test_secrets_are_shown_to_nobody_who_does_not_ask_for_them(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    await write_blocks(orchestrator, controllers(tmp_path, amazon=FILES["amazon"]), US)
    response = await orchestrator.client.request("POST", "/block_documents/filter", json={})
    assert "eu-central-1" in response.text
    assert "hunter2" not in response.text
    assert "AKIA1" not in response.text


async def test_a_loaded_block_starts_and_stops_a_machine(orchestrator: Orchestrator, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with running_linode(boot_seconds=0.1) as linode:
        linode.add("render")
        text = f"name: akamai\ndriver: linode\ntoken_file: {token}\napi_url: {linode.api_url}\n"
        await write_blocks(orchestrator, controllers(tmp_path, akamai=text), US)
        block = await load(orchestrator, LinodeInstances, "akamai")
        await block.start("render")
        assert await block.status("render") is MachineState.RUNNING
        assert await block.address("render") == "127.0.0.1"
        await block.stop("render")
        assert linode.labelled("render")[0]["status"] == "offline"


async def test_prefect_that_is_away_is_tried_again(orchestrator: Orchestrator, tmp_path: Path) -> None:
    pauses: list[float] = []

    class Enough(Exception):
        pass

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise Enough

    async with Orchestrator("http://127.0.0.1:9/api", None) as away:
        with pytest.raises(Enough):
            await show_controllers(away, controllers(tmp_path, **FILES), US, pause=pause)
    assert pauses == [2.0, 4.0, 8.0]


def test_every_block_type_is_ours_by_its_slug_and_says_what_it_is() -> None:
    for kind in BLOCKS:
        assert kind.get_block_type_slug().startswith("batchd-")
        assert kind.get_description()


def test_a_block_gives_back_the_settings_it_was_made_from(tmp_path: Path) -> None:
    for controller in controllers(tmp_path, **FILES):
        block = block_of(controller, US)
        if block is not None:
            assert block.controller().settings == controller.settings
            assert block.controller().can_start_stop == controller.can_start_stop
    assert isinstance(block_of(Ec2Controller("e", Ec2Instances().controller().settings), US), Ec2Instances)

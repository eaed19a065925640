"""The embedded server as a process: adopted, replaced, refused, ended. Starts are few: each costs 10 s."""

import os
import signal
import socket
import stat
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from batchd_flows.server import EmbeddedServer, PortTaken, ServerDidNotStart
from batchd_flows.server_marker import ServerMarker, process_start, read_marker
from tests.prefect_server import PrefectServer, free_port, server_settings

pytestmark = pytest.mark.anyio


def marker_of(server: EmbeddedServer) -> ServerMarker:
    marker = read_marker(server.settings.home / "server.json")
    assert marker is not None
    return marker


async def dead(marker: ServerMarker, seconds: float = 10) -> None:
    """A kill is asked for; the process dies a little later."""
    with anyio.fail_after(seconds):
        while marker.is_alive():
            await anyio.sleep(0.01)


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


async def test_g16_the_api_wants_the_auth_string_its_health_does_not(
    prefect_server: PrefectServer,
) -> None:
    assert get(f"{prefect_server.api_url}/health") == b"true"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(f"{prefect_server.api_url}/admin/version")


async def test_the_pages_work_under_the_servers_own_port(prefect_server: PrefectServer) -> None:
    assert b'"api_url":"/api"' in get(f"{prefect_server.server.ui_url}/ui-settings")
    assert b"<html" in get(f"{prefect_server.server.ui_url}/v2/")
    assert (prefect_server.home / "ui" / "v2" / "index.html").exists()


async def test_g10_nothing_in_its_home_can_be_read_by_others(prefect_server: PrefectServer) -> None:
    home = prefect_server.home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    open_to_others = [path for path in home.iterdir() if path.stat().st_mode & 0o077]
    assert open_to_others == []
    assert (home / "prefect.db").exists()


async def test_the_server_leads_a_session_of_its_own(prefect_server: PrefectServer) -> None:
    pid = marker_of(prefect_server.server).pid
    assert os.getsid(pid) == pid


async def test_a_new_daemon_adopts_a_healthy_orphan(prefect_server: PrefectServer) -> None:
    newcomer = EmbeddedServer(prefect_server.server.settings)
    before = marker_of(prefect_server.server)
    await newcomer.start()
    assert marker_of(newcomer) == before
    assert not await newcomer.ensure_running()
    assert marker_of(newcomer) == before


async def test_a_foreign_process_on_the_port_is_refused_and_lives(tmp_path: Path) -> None:
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        port = foreign.getsockname()[1]
        server = EmbeddedServer(server_settings(tmp_path, port))
        with pytest.raises(PortTaken) as refusal:
            await server.start()
    assert refusal.value.port == port
    assert str(port) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "server.json").exists()


async def test_a_foreign_server_of_prefects_is_never_taken_for_ours(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    other_home = EmbeddedServer(server_settings(tmp_path, prefect_server.server.port))
    with pytest.raises(PortTaken):
        await other_home.start()
    await other_home.stop()
    assert await prefect_server.server.healthy()


async def test_a_marker_of_another_process_ends_nobody(tmp_path: Path) -> None:
    server = EmbeddedServer(server_settings(tmp_path))
    stale = ServerMarker(
        pid=os.getpid(), started="another boot:1", port=server.port, home=str(tmp_path), fingerprint=""
    )
    stale.write(tmp_path / "server.json")
    await server.stop()
    assert not (tmp_path / "server.json").exists()


async def test_a_server_that_cannot_start_says_what_its_log_says(tmp_path: Path) -> None:
    settings = server_settings(tmp_path, PREFECT_SERVER_API_KEEPALIVE_TIMEOUT="no number")
    server = EmbeddedServer(settings)
    with pytest.raises(ServerDidNotStart, match=r"server\.log"):
        await server.start()
    assert not (tmp_path / "server.json").exists()


async def test_a_start_that_was_given_up_too_early_is_given_more_time_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    async def too_slow(_self: EmbeddedServer, _marker: ServerMarker, seconds: float) -> bool:
        given.append(seconds)
        return False

    monkeypatch.setattr(EmbeddedServer, "_answers_in_time", too_slow)
    server = EmbeddedServer(server_settings(tmp_path), start_seconds=10)
    for _ in range(5):
        with pytest.raises(ServerDidNotStart):
            await server.start()
    assert given == [10, 20, 40, 80, 80]


@pytest.mark.slow
async def test_its_whole_life(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Killed: started again. Hung: replaced. Another secret: replaced. Ended: nothing stays."""
    settings = server_settings(tmp_path, free_port())
    server = EmbeddedServer(settings)
    await server.start()
    first = marker_of(server)

    os.kill(first.pid, signal.SIGKILL)
    await dead(first)
    assert await server.ensure_running()
    assert "has ended" in caplog.text
    second = marker_of(server)
    assert second.pid != first.pid
    assert await server.healthy()

    os.kill(second.pid, signal.SIGSTOP)
    assert not await server.ensure_running()  # one missed answer is no proof
    assert not server.answered
    assert not await server.ensure_running()
    assert await server.ensure_running()
    assert server.answered
    assert "did not answer 3 looks in a row" in caplog.text
    third = marker_of(server)
    assert not second.is_alive()

    renewed = EmbeddedServer(replace(settings, auth_string=SecretStr("batchd:another")))
    await renewed.start()
    fourth = marker_of(renewed)
    assert not third.is_alive()

    await renewed.stop()
    assert process_start(fourth.pid) is None
    assert not (tmp_path / "server.json").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(fourth.pid, 0)
    await renewed.stop()

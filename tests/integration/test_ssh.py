"""Connections to a real `sshd`: who is let near it and who is not, and that no wait is without end.

FAULTS.md: D1 D2 D6 D7.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from batchd_infra.host_keys import KnownHosts
from batchd_infra.hosts import HostKeyPolicy
from batchd_infra.ssh import SshConnection, SshTarget
from batchd_infra.ssh_errors import (
    HostKeyChanged,
    HostKeyUnknown,
    KeyUnusable,
    LoginRefused,
    SshError,
    TooSlow,
    Unreachable,
)
from tests.hanging_sshd import hanging
from tests.prefect_server import free_port
from tests.sshd import Sshd, new_key, running_sshd
from tests.tcp_proxy import Blackhole, Pass, Refuse, TcpProxy, tcp_proxy

SECRET = "open sesame"
ACCEPT_NEW = HostKeyPolicy.ACCEPT_NEW


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("ssh") / "sshd") as server:
        yield server


@pytest.fixture
def proxy(sshd: Sshd) -> Iterator[TcpProxy]:
    with tcp_proxy(sshd.port) as running:
        yield running


@pytest.fixture
def reach() -> Iterator[Callable[[SshTarget], SshConnection]]:
    made: list[SshConnection] = []

    def connection(target: SshTarget) -> SshConnection:
        made.append(SshConnection(target))
        return made[-1]

    yield connection
    for one in made:
        one.close()


Reach = Callable[[SshTarget], SshConnection]


def through(sshd: Sshd, proxy: TcpProxy, **fields: Any) -> SshTarget:
    """By another port; known by the name that the machine has, as with an address from a controller."""
    proxied = proxy_known_hosts(sshd, proxy)
    return sshd.target(**({"port": proxy.port, "known_hosts_file": proxied} | fields))


def proxy_known_hosts(sshd: Sshd, proxy: TcpProxy) -> Path:
    file = sshd.known_hosts.with_name(f"known_hosts_{proxy.port}")
    file.write_text(sshd.known_hosts.read_text().replace(str(sshd.port), str(proxy.port)))
    return file


def seconds_of(function: Callable[[], object], error: type[Exception]) -> tuple[float, str]:
    begun = time.monotonic()
    with pytest.raises(error) as raised:
        function()
    return time.monotonic() - begun, str(raised.value)


# --- commands ----------------------------------------------------------------------------------------------


def test_a_command_s_exit_code_signal_and_both_streams_come_back(sshd: Sshd, reach: Reach) -> None:
    connection = reach(sshd.target())
    finished = connection.run("cat; echo problem >&2; exit 3", b"\x00\xff given")
    assert (finished.exit_code, finished.signal) == (3, None)
    assert (finished.stdout, finished.stderr) == (b"\x00\xff given", b"problem\n")
    killed = connection.run("kill -TERM $$")
    assert (killed.exit_code, killed.signal) == (None, "TERM")


def test_input_and_output_of_many_megabytes_pass_at_the_same_time(sshd: Sshd, reach: Reach) -> None:
    given = os.urandom(1 << 20) * 12
    assert reach(sshd.target()).run("cat", given).stdout == given


def test_a_command_that_does_not_want_its_input_is_no_error(sshd: Sshd, reach: Reach) -> None:
    finished = reach(sshd.target()).run("exit 4", b"x" * (8 << 20))
    assert finished.exit_code == 4


def test_output_above_the_limit_is_cut_and_said_to_be(sshd: Sshd, reach: Reach) -> None:
    finished = reach(sshd.target()).run("head -c 3000000 /dev/zero", output_limit_bytes=1000)
    assert (finished.exit_code, len(finished.stdout), finished.cut) == (0, 1000, True)


def test_many_threads_share_one_connection_and_its_ten_sessions(sshd: Sshd, reach: Reach) -> None:
    connection = reach(sshd.target())
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda n: connection.run(f"sleep 0.1; echo {n}").stdout, range(32)))
    assert said == [b"%d\n" % n for n in range(32)]


# --- host keys ---------------------------------------------------------------------------------------------


def test_d1_an_unknown_host_key_is_refused_before_anything_is_sent(
    sshd: Sshd, reach: Reach, tmp_path: Path
) -> None:
    logins = sshd.log().count("Accepted")
    connection = reach(sshd.target(known_hosts_file=tmp_path / "none"))
    with pytest.raises(HostKeyUnknown, match="batchd-admin trust-host box") as raised:
        connection.run("true")
    assert sshd.fingerprint() in str(raised.value)
    assert sshd.log().count("Accepted") == logins


def test_d1_nothing_but_the_greeting_goes_to_a_machine_whose_key_is_unknown(tmp_path: Path) -> None:
    with hanging("nowhere") as server:
        target = SshTarget(
            address="127.0.0.1", port=server.port, private_key=new_key(tmp_path / "key"), agent=False,
            known_hosts_file=tmp_path / "none", more_known_hosts=(), user_name="somebody",
        )  # fmt: skip
        with pytest.raises(HostKeyUnknown):
            SshConnection(target).run("true")
        assert server.logins == []


def test_d2_a_changed_host_key_is_refused_and_logged_loudly(
    sshd: Sshd, reach: Reach, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = new_key(tmp_path / "other").with_suffix(".pub").read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    for policy in HostKeyPolicy:
        connection = reach(sshd.target(known_hosts_file=known, host_key_policy=policy))
        for _ in range(2):
            with pytest.raises(
                HostKeyChanged, match=f"HAS CHANGED.*{re.escape(sshd.fingerprint())}.*{known}"
            ):
                connection.run("true")
    loud = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(loud) == 2  # once a connection
    assert "HAS CHANGED" in loud[0].getMessage()
    assert known.read_text() == f"[127.0.0.1]:{sshd.port} {other}"


def test_a_new_key_is_accepted_and_written_down_where_the_host_says_so(
    sshd: Sshd, reach: Reach, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    target = sshd.target(known_hosts_file=known, host_key_policy=ACCEPT_NEW)
    assert reach(target).run("echo in").stdout == b"in\n"
    assert known.read_text().startswith(f"[127.0.0.1]:{sshd.port} ssh-ed25519 ")
    assert known.stat().st_mode & 0o077 == 0
    assert reach(sshd.target(known_hosts_file=known)).run("echo in").stdout == b"in\n"
    KnownHosts(known).forget("127.0.0.1", sshd.port)
    with pytest.raises(HostKeyUnknown):
        reach(sshd.target(known_hosts_file=known)).run("true")


def test_what_a_controller_vouches_for_is_the_only_key_that_is_accepted(
    sshd: Sshd, reach: Reach, tmp_path: Path
) -> None:
    right = sshd.host_key.with_suffix(".pub").read_text()
    wrong = new_key(tmp_path / "wrong").with_suffix(".pub").read_text()
    fields = {"known_hosts_file": tmp_path / "none", "host_key_policy": ACCEPT_NEW}
    assert reach(sshd.target(offered_host_keys=(wrong, right), **fields)).run("echo in").stdout == b"in\n"
    with pytest.raises(HostKeyChanged, match="controller"):
        reach(sshd.target(offered_host_keys=(wrong,), **fields)).run("true")


def test_the_user_s_own_known_hosts_count_too_hashed_and_by_name(
    sshd: Sshd, reach: Reach, tmp_path: Path
) -> None:
    known = tmp_path / "users"
    key = sshd.host_key.with_suffix(".pub").read_text()
    known.write_text(f"[render.example]:{sshd.port},10.1.2.3 {key}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert "render" not in known.read_text()
    target = sshd.target(known_as="render.example", known_hosts_file=None, more_known_hosts=(known,))
    assert reach(target).run("echo in").stdout == b"in\n"


def test_a_machine_with_several_keys_is_asked_for_the_one_that_is_known(tmp_path: Path, reach: Reach) -> None:
    rsa = new_key(tmp_path / "rsa", "-t", "rsa", "-b", "2048")
    with running_sshd(tmp_path / "sshd", settings=f"HostKey {rsa}\n") as server:
        server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {rsa.with_suffix('.pub').read_text()}")
        assert reach(server.target()).run("echo in").stdout == b"in\n"


# --- logins ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "rsa -b 2048", "ecdsa"])
def test_keys_of_every_kind_log_in(sshd: Sshd, reach: Reach, kind: str) -> None:
    key = sshd.new_key(f"of_{kind}", "-t", *kind.split())
    assert reach(sshd.target(private_key=key)).run("echo in").stdout == b"in\n"


@pytest.mark.parametrize("form", [[], ["-m", "PEM", "-t", "rsa", "-b", "2048"]], ids=["OpenSSH", "PEM"])
def test_d7_a_key_with_a_passphrase_needs_it_and_never_shows_it(
    sshd: Sshd, reach: Reach, form: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    key = sshd.new_key(f"locked{len(form)}", *form, passphrase=SECRET)
    opened = sshd.target(private_key=key, passphrase=SecretStr(SECRET))
    assert reach(opened).run("echo in").stdout == b"in\n"
    with pytest.raises(KeyUnusable, match=f"{key} is encrypted: its host needs `passphrase`"):
        reach(sshd.target(private_key=key)).run("true")
    with pytest.raises(KeyUnusable, match="cannot be opened with the given passphrase") as raised:
        reach(sshd.target(private_key=key, passphrase=SecretStr("not the secret word"))).run("true")
    assert "secret word" not in f"{raised.value}{caplog.text}{opened}"
    assert SECRET not in f"{caplog.text}{opened}"


def test_d7_a_key_that_the_machine_does_not_know_is_refused_and_its_user_named(
    sshd: Sshd, reach: Reach
) -> None:
    stranger = sshd.new_key("stranger", may_log_in=False)
    with pytest.raises(LoginRefused, match=f"host box .*login as {sshd.target().user_name} refused"):
        reach(sshd.target(private_key=stranger)).run("true")


def test_keys_that_are_none_are_told_by_name(sshd: Sshd, reach: Reach, tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="gone does not exist"):
        reach(sshd.target(private_key=tmp_path / "gone")).run("true")
    (tmp_path / "rubbish").write_text("no key\n")
    with pytest.raises(KeyUnusable, match="rubbish is no private key"):
        reach(sshd.target(private_key=tmp_path / "rubbish")).run("true")


def test_without_a_private_key_the_usual_ones_are_offered(
    sshd: Sshd, reach: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(LoginRefused, match="no private key to log in with"):
        reach(sshd.target(private_key=None)).run("true")
    (tmp_path / ".ssh").mkdir()
    new_key(tmp_path / ".ssh" / "id_ed25519")  # offered first, and refused
    sshd.new_key("usual", "-t", "rsa", "-b", "2048").rename(tmp_path / ".ssh" / "id_rsa")
    assert reach(sshd.target(private_key=None)).run("echo in").stdout == b"in\n"


@contextmanager
def agent_with(key: Path, passphrase: str, folder: Path) -> Iterator[str]:
    """A real ssh-agent that holds this key."""
    answer = folder / "answer"
    answer.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    answer.chmod(0o700)
    place = str(folder / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    try:
        environment = {**os.environ, "SSH_AUTH_SOCK": place, "SSH_ASKPASS": str(answer)}
        environment |= {"SSH_ASKPASS_REQUIRE": "force"}
        deadline = time.monotonic() + 10
        while subprocess.run(["ssh-add", key], env=environment, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, "the agent never took the key"
            time.sleep(0.05)
        yield place
    finally:
        agent.terminate()
        agent.wait(10)


def test_an_agent_s_keys_log_in_also_where_the_file_is_locked(
    sshd: Sshd, reach: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = sshd.new_key("of_agent", passphrase=SECRET)
    with agent_with(key, SECRET, tmp_path) as place:
        monkeypatch.setenv("SSH_AUTH_SOCK", place)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert reach(sshd.target(private_key=None, agent=True)).run("echo in").stdout == b"in\n"
        assert reach(sshd.target(private_key=key, agent=True)).run("echo in").stdout == b"in\n"
        with pytest.raises(KeyUnusable):
            reach(sshd.target(private_key=key, agent=False)).run("true")


# --- what does not answer ----------------------------------------------------------------------------------


def test_nobody_there_is_unreachable_at_once(reach: Reach) -> None:
    target = SshTarget(address="127.0.0.1", port=free_port(), more_known_hosts=())
    seconds, said = seconds_of(lambda: reach(target).run("true"), Unreachable)
    assert seconds < 5
    assert "Connection refused" in said


@pytest.mark.parametrize("point", ["banner", "greeting", "login", "session", "exec", "exit status", "output"])
def test_d6_a_server_that_hangs_is_left_in_time(point: str, tmp_path: Path) -> None:
    with hanging(point) as server:
        target = SshTarget(
            address="127.0.0.1", port=server.port, private_key=new_key(tmp_path / "key"), agent=False,
            known_hosts_file=tmp_path / "known", more_known_hosts=(), host_key_policy=ACCEPT_NEW,
            handshake_seconds=1, login_seconds=1, answer_seconds=1,
        )  # fmt: skip
        connection = SshConnection(target)
        seconds, said = seconds_of(lambda: connection.run("true", timeout_seconds=1), TooSlow)
        assert 0.9 < seconds < 4
        assert f"[127.0.0.1]:{server.port}" in said
        connection.close()


def test_d6_a_session_that_is_stopped_in_the_middle_is_left_and_the_next_is_a_new_connection(
    sshd: Sshd, reach: Reach
) -> None:
    connection = reach(sshd.target(answer_seconds=1))
    session = int(connection.run("echo $PPID").stdout)
    os.kill(session, signal.SIGSTOP)
    try:
        seconds, _ = seconds_of(lambda: connection.run("true"), TooSlow)
        assert seconds < 5
        assert connection.run("echo in").stdout == b"in\n"
    finally:
        os.kill(session, signal.SIGCONT)


def test_a_connection_that_was_cut_is_made_again_by_its_next_use(
    sshd: Sshd, proxy: TcpProxy, reach: Reach
) -> None:
    connection = reach(through(sshd, proxy))
    assert connection.run("echo one").stdout == b"one\n"
    proxy.cut_all()
    with suppress(Unreachable):  # it may take one call to notice
        connection.run("true")
    assert connection.run("echo two").stdout == b"two\n"
    proxy.mode = Refuse()
    with pytest.raises(Unreachable):
        connection.run("true")
    proxy.mode = Pass()
    assert connection.run("echo three").stdout == b"three\n"


def test_a_cut_during_a_command_is_unreachable_not_an_exit_code(
    sshd: Sshd, proxy: TcpProxy, reach: Reach
) -> None:
    connection = reach(through(sshd, proxy))
    connection.run("true")
    threading.Timer(0.3, proxy.cut_all).start()
    seconds, _ = seconds_of(lambda: connection.run("sleep 30"), Unreachable)
    assert seconds < 10


def test_a_network_that_swallows_everything_is_noticed(sshd: Sshd, proxy: TcpProxy, reach: Reach) -> None:
    connection = reach(through(sshd, proxy, handshake_seconds=1, answer_seconds=1))
    connection.run("true")
    proxy.mode = Blackhole()
    for _ in range(2):  # the one that is there, and then the new one's greeting
        seconds, _ = seconds_of(lambda: connection.run("true"), TooSlow)
        assert seconds < 5
    proxy.mode = Pass()
    assert connection.run("echo back").stdout == b"back\n"


def test_many_callers_of_an_unreachable_machine_wait_together_not_one_after_the_other(
    tmp_path: Path, reach: Reach
) -> None:
    with hanging("banner") as server:
        target = SshTarget(
            address="127.0.0.1", port=server.port, more_known_hosts=(), handshake_seconds=1, agent=False
        )
        connection = reach(target)

        def call(_: int) -> float:
            return seconds_of(lambda: connection.run("true"), SshError)[0]

        with ThreadPoolExecutor(12) as pool:
            assert max(pool.map(call, range(12))) < 5

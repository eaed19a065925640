"""From an address to a connection that has proved who it is and let us in; before that, nothing is sent."""

import getpass
import logging
import socket
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.ssh_exception import IncompatiblePeer
from pydantic import SecretStr

from batchd_infra.host_keys import HostKey, KnownHosts
from batchd_infra.hosts import HostKeyPolicy
from batchd_infra.known_hosts import SSH_PORT, KnownKey, fingerprint, known_keys, parse_key, spelled
from batchd_infra.ssh_channel import Transport
from batchd_infra.ssh_errors import (
    HostKeyChanged,
    HostKeyUnknown,
    KeyUnusable,
    LoginRefused,
    SshError,
    TooSlow,
    Unreachable,
)
from batchd_infra.ssh_keys import offered_keys

USERS_FILES = (Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))
KEYS_A_LOGIN = 5  # sshd hangs up after six
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_QUIET = "batchd.ssh.protocol"


@dataclass(frozen=True, kw_only=True)
class SshTarget:
    """How a machine is reached.

    `name` is the host's in the configuration, for messages; `known_as` the network name that known hosts are
    looked up by (None: the address). `user_name` None: the user we run as. `private_key` None: the usual.
    `known_hosts_file` is ours: read, and written under `accept-new`. `offered_host_keys`: lines `KIND BASE64`
    that the machine's controller vouches for; under `accept-new` only they count, else if files know none.
    """

    address: str
    port: int = SSH_PORT
    name: str = ""
    known_as: str | None = None
    user_name: str | None = None
    private_key: Path | None = None
    passphrase: SecretStr | None = None
    agent: bool = True
    known_hosts_file: Path | None = None
    more_known_hosts: tuple[Path, ...] = USERS_FILES
    host_key_policy: HostKeyPolicy = HostKeyPolicy.STRICT
    offered_host_keys: tuple[str, ...] = ()
    connect_seconds: float = 10
    handshake_seconds: float = 15
    login_seconds: float = 20
    answer_seconds: float = 20
    dead_after_seconds: float = 20

    @property
    def where(self) -> str:
        """As messages name it."""
        address = spelled(self.address, self.port)
        return f"host {self.name} ({address})" if self.name and self.name != address else f"host {address}"


def connect(target: SshTarget) -> paramiko.Transport:
    """Raises SshError's leaves."""
    transport = _greet(target)
    try:
        _check_host_key(target, transport)
        _log_in(target, transport)
        transport.set_keepalive(max(1, round(target.dead_after_seconds / 2)))
    except BaseException:
        transport.close()
        raise
    return transport


def open_socket(target: SshTarget) -> socket.socket:
    """One that notices a dead peer; keep-alives of SSH alone never do."""
    try:
        opened = socket.create_connection((target.address, target.port), timeout=target.connect_seconds)
    except TimeoutError as error:
        raise Unreachable(f"{target.where}: no answer in {target.connect_seconds:g} s") from error
    except OSError as error:
        raise Unreachable(f"{target.where}: {error.strerror or error}") from error
    seconds = max(1, round(target.dead_after_seconds))
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", seconds * 1000),
        ("TCP_KEEPIDLE", max(1, seconds // 2)),
        ("TCP_KEEPINTVL", max(1, seconds // 6)),
        ("TCP_KEEPCNT", 3),
    ):
        if hasattr(socket, name):  # Linux has them all
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return opened


def _greet(target: SshTarget) -> paramiko.Transport:
    """The two machines have agreed on keys; nothing of ours is said yet."""
    logging.getLogger(_QUIET).setLevel(logging.CRITICAL)  # what it would log, we raise
    opened = open_socket(target)
    transport = Transport(opened)
    transport.set_log_channel(_QUIET)
    # We end it ourselves, before paramiko does: what it would say is not that it took too long.
    transport.banner_timeout = transport.handshake_timeout = target.handshake_seconds + 5
    transport.auth_timeout = target.login_seconds
    options = transport.get_security_options()
    # GCM is twice as fast here, and paramiko would take it last.
    options.ciphers = tuple(sorted(options.ciphers, key=lambda cipher: "gcm" not in cipher))
    options.key_types = _known_first(tuple(options.key_types), _keys_of(target))
    greeted = threading.Event()
    transport.start_client(event=greeted)
    in_time = greeted.wait(target.handshake_seconds)
    if in_time and transport.is_active():
        return transport
    problem = transport.get_exception()
    transport.close()
    if not in_time or (problem is not None and "timeout" in str(problem).lower()):
        raise TooSlow(f"{target.where}: connected, but no SSH greeting in {target.handshake_seconds:g} s")
    if isinstance(problem, IncompatiblePeer):
        raise SshError(f"{target.where}: no algorithm in common ({problem})")
    raise Unreachable(f"{target.where}: the connection was cut during the greeting ({problem or 'it ended'})")


def _known_first(kinds: tuple[str, ...], known: tuple[KnownKey, ...]) -> tuple[str, ...]:
    """A machine shows one of its keys only: let it be one that we can compare."""
    wanted = {kind for key in known for kind in (_RSA if key.kind == "ssh-rsa" else (key.kind,))}
    return tuple(sorted(kinds, key=lambda kind: kind not in wanted))


def _keys_of(target: SshTarget) -> tuple[KnownKey, ...]:
    """Those that count: what files know, else what the controller vouches for."""
    ours = () if target.known_hosts_file is None else (target.known_hosts_file,)
    files = (*ours, *(file.expanduser() for file in target.more_known_hosts))
    found = known_keys(files, target.known_as or target.address, target.port)
    revoked = tuple(key for key in found if key.revoked)
    strict = target.host_key_policy is HostKeyPolicy.STRICT
    if not target.offered_host_keys or (strict and len(found) > len(revoked)):
        return found
    vouched = (parse_key(line, "its controller's answer") for line in target.offered_host_keys)
    return (*revoked, *(key for key in vouched if key is not None))


def _check_host_key(target: SshTarget, transport: paramiko.Transport) -> None:
    key = transport.get_remote_server_key()
    shown, blob = fingerprint(key.asbytes()), key.asbytes()
    address = spelled(target.known_as or target.address, target.port)
    known = _keys_of(target)
    revoked = next((one for one in known if one.revoked and one.blob == blob), None)
    if revoked is not None:
        raise HostKeyChanged(address, revoked.source, "any but this one, which was revoked", shown)
    trusted = [one for one in known if not one.revoked]
    if any(one.blob == blob for one in trusted):
        return
    if trusted:
        named = ", ".join(dict.fromkeys(one.fingerprint for one in trusted))
        raise HostKeyChanged(address, trusted[0].source, named, shown)
    if target.host_key_policy is not HostKeyPolicy.ACCEPT_NEW or target.offered_host_keys:
        raise HostKeyUnknown(address, key.get_name(), shown, name=target.name or address)
    if target.known_hosts_file is not None:
        KnownHosts(target.known_hosts_file).add(HostKey(address=address, key=key))


def _log_in(target: SshTarget, transport: paramiko.Transport) -> None:
    user = target.user_name or getpass.getuser()
    unusable: list[KeyUnusable] = []
    refused = 0
    with closing(offered_keys(target.private_key, target.passphrase, agent=target.agent)) as keys:
        for key in keys:
            if isinstance(key, KeyUnusable):
                unusable.append(key)
            elif _accepted(target, transport, user, key, refused):
                return
            else:
                refused += 1
                if refused == KEYS_A_LOGIN:
                    break
    if unusable:
        also = f"; {refused} other keys were refused" if refused else ""
        raise KeyUnusable(f"{target.where}: {unusable[0]}{also}")
    if not refused:
        raise LoginRefused(f"{target.where}: there is no private key to log in with as {user}")
    raise LoginRefused(f"{target.where}: login as {user} refused, the machine accepts none of {refused} keys")


def _accepted(
    target: SshTarget, transport: paramiko.Transport, user: str, key: paramiko.PKey, refused: int
) -> bool:
    try:
        more = transport.auth_publickey(user, key)
    except paramiko.BadAuthenticationType as error:
        allowed = ", ".join(error.allowed_types)
        raise LoginRefused(
            f"{target.where}: login as {user} refused, the machine takes no keys but {allowed}"
        ) from error
    except paramiko.AuthenticationException as error:
        if transport.is_active() and "timeout" not in str(error).lower():
            return False
        if refused:
            raise LoginRefused(f"{target.where}: login as {user} refused, and the machine hung up") from error
        raise TooSlow(f"{target.where}: no answer to the login in {target.login_seconds:g} s") from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        if transport.is_active():
            return False  # this key cannot sign, for one: an agent that lost it
        raise Unreachable(f"{target.where}: the connection was cut during the login") from error
    if more:
        raise LoginRefused(f"{target.where}: login as {user} needs more than a key ({', '.join(more)})")
    return True

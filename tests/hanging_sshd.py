"""An SSH server that is there, lets everybody in, and hangs at one point."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko


class Hanging(paramiko.ServerInterface):
    """A server that is there, up to one point."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.logins: list[str] = []
        self.port = 0
        self.key = paramiko.ECDSAKey.generate()
        self.stop = threading.Event()

    def _reach(self, point: str) -> None:
        if point == self.at:
            self.stop.wait(30)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.logins.append(username)
        self._reach("login")
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._reach("session")
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._reach("exec")
        if self.at == "exit status":
            channel.shutdown_write()
        return True


@contextmanager
def hanging(at: str) -> Iterator[Hanging]:
    server = Hanging(at)
    made: list[paramiko.Transport] = []

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                if at == "banner":
                    made.append(client)  # type: ignore[arg-type]
                    continue
                if at == "greeting":
                    client.sendall(b"SSH-2.0-Slow_1.0\r\n")
                    made.append(client)  # type: ignore[arg-type]
                    continue
                transport = paramiko.Transport(client)
                transport.set_log_channel("batchd.ssh.protocol")
                transport.add_server_key(server.key)
                made.append(transport)
                transport.start_server(event=threading.Event(), server=server)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for one in made:
                one.close()

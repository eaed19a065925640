"""Between a client and the EC2 server: holds states back and refuses, as the real one does."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

Answer = tuple[int, bytes]
# The action (`StartInstances`) and the server's answer → the answer that is given.
Change = Callable[[str, Answer], Answer]
REFUSAL = (
    "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    "<RequestID>1</RequestID></Response>"
)


def refusal(status: int, code: str, message: str = "not now") -> Answer:
    return status, REFUSAL.format(code=code, message=message).encode()


def _unchanged(_action: str, answer: Answer) -> Answer:
    return answer


@dataclass
class Ec2Proxy:
    """`instead`: the next answers of actions that are not carried out. `change`: what becomes of the rest."""

    server: str
    url: str = ""
    asked: list[str] = field(default_factory=list)
    instead: dict[str, list[Answer]] = field(default_factory=dict)
    change: Change = _unchanged

    def answer(self, body: bytes) -> Answer:
        action = parse_qs(body.decode())["Action"][0]
        self.asked.append(action)
        if self.instead.get(action):
            return self.instead[action].pop(0)
        return self.change(action, self._passed_on(body))

    def _passed_on(self, body: bytes) -> Answer:
        """The region stands in the signature, which the server does not check."""
        scope = "k/20260101/eu-west-1/ec2/aws4_request"
        signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        request = urllib.request.Request(self.server, body, {"Authorization": signed})
        request.add_header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return int(response.status), response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Ec2Proxy

    def do_POST(self) -> None:
        status, body = self.proxy.answer(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@contextmanager
def running_proxy(server: str) -> Iterator[Ec2Proxy]:
    proxy = Ec2Proxy(server)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    listener.daemon_threads = True
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    proxy.url = f"http://127.0.0.1:{listener.server_address[1]}"
    try:
        yield proxy
    finally:
        listener.shutdown()
        listener.server_close()

"""The nginx sample in a real nginx on loopback, in front of a real facade."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.facade import Facade, enqueue, running
from tests.ground import installation
from tests.packaging import ROOT
from tests.prefect_server import free_port
from tests.waiting import need_programs, wait_until

pytestmark = pytest.mark.slow
SAMPLE = ROOT / "sample-configs" / "deploy" / "nginx.conf"
NAME = "batch.example.org"
AROUND = """
pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/batchd.conf;
}}
"""


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.certificate, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        words = ["req", "-x509", "-subj", f"/CN={name}", "-days", "2", *self.new_key(self.key)]
        self.openssl(*words, "-out", self.certificate)

    def openssl(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)

    def new_key(self, path: Path) -> list[str | Path]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]

    def issue(self, file: str, subject: str, *options: str) -> tuple[Path, Path]:
        """Certificate and key."""
        certificate, key = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        request = self.folder / f"{file}.csr"
        self.openssl("req", "-new", "-subj", subject, *options, *self.new_key(key), "-out", request)
        signing: list[str | Path] = [
            "-CA",
            self.certificate,
            "-CAkey",
            self.key,
            "-CAcreateserial",
            "-days",
            "2",
        ]
        self.openssl(
            "x509", "-req", "-in", request, *signing, "-copy_extensions", "copy", "-out", certificate
        )
        return certificate, key


@dataclass(frozen=True, kw_only=True)
class Front:
    """nginx with the sample, on `port`; `users` signs the certificates of users."""

    port: int
    facade: Facade
    users: Authority
    server_ca: Path

    def client(self, certificate: tuple[Path, Path] | None = None, **headers: str) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.server_ca))
        if certificate:
            context.load_cert_chain(*certificate)
        url = f"https://localhost:{self.port}"
        return httpx.Client(base_url=url, verify=context, headers=headers, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    need_programs("nginx", "openssl")
    folder = tmp_path_factory.mktemp("nginx")
    with (
        installation(f"sqlite:///{folder / 'batchd.db'}") as here,
        running(here, basic=False, header=True, allowed_hosts=(NAME,)) as facade,
    ):
        facade.users.create("root", "secret", superuser=True)
        facade.users.create("ann", "secret")
        servers = Authority(folder, "servers")
        users = Authority(folder, "users")
        names = ["-addext", f"subjectAltName=DNS:localhost,DNS:{NAME}"]
        certificate, key = servers.issue("server", f"/CN={NAME}", *names)
        port = free_port()
        site = SAMPLE.read_text()
        for shown, ours in (
            ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
            ("/etc/batchd/tls/server.crt;", f"{certificate};"),
            ("/etc/batchd/tls/server.key;", f"{key};"),
            ("e /etc/batchd/tls/users-ca.crt;", f"e {users.certificate};"),
            ("http://127.0.0.1:9681;", f"http://127.0.0.1:{facade.port};"),
        ):  # fmt: skip
            assert site.count(shown) == 1, shown
            site = site.replace(shown, ours)
        (folder / "batchd.conf").write_text(site)
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
        with serving(folder, port):
            yield Front(port=port, facade=facade, users=users, server_ca=servers.certificate)


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """nginx, from listening to gone."""
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    words = ["nginx", "-p", folder, "-c", folder / "nginx.conf"]
    tested = subprocess.run([*words, "-t"], env=environment, capture_output=True, text=True, timeout=60)
    assert tested.returncode == 0, tested.stderr
    process = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with httpx.Client(verify=False, trust_env=False) as client, suppress(httpx.TransportError):
            return client.get(f"https://localhost:{port}").status_code == 401
        return False

    try:
        wait_until(listens, 60, "nginx")
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def ann(front: Front) -> tuple[Path, Path]:
    return front.users.issue("ann", "/O=Example/CN=ann")


@pytest.fixture(scope="module")
def root(front: Front) -> tuple[Path, Path]:
    return front.users.issue("root", "/CN=root")


def who(client: httpx.Client) -> Any:
    answer = client.get("/whoami")
    return answer.json()["name"] if answer.status_code == 200 else answer.status_code


def test_the_common_name_of_a_certificate_is_the_user(
    front: Front, ann: tuple[Path, Path], root: tuple[Path, Path]
) -> None:
    with front.client(ann) as client:
        assert who(client) == "ann"
        assert client.get("/user").status_code == 403
    with front.client(root) as client:
        assert who(client) == "root"
        assert client.get("/user").json() == ["ann", "root"]


@pytest.mark.parametrize("spoofed", ["X-Auth-User", "x-auth-user", "X_Auth_User"])
def test_a_name_that_the_client_says_itself_is_dropped(
    front: Front, ann: tuple[Path, Path], spoofed: str
) -> None:
    with front.client(ann, **{spoofed: "root"}) as client:
        assert who(client) == "ann"
    with front.client(None, **{spoofed: "root"}) as client:
        assert who(client) == 401


def test_basic_credentials_do_not_count_here(front: Front, ann: tuple[Path, Path]) -> None:
    with front.client(ann) as client:
        assert client.get("/whoami", auth=("root", "secret")).json()["name"] == "ann"
    with front.client(None) as client:
        assert client.get("/whoami", auth=("root", "secret")).status_code == 401


def test_no_certificate_or_one_of_another_authority_is_refused(front: Front, tmp_path: Path) -> None:
    with front.client(None) as client:
        for path in ("/", "/health", "/queue", "/whoami"):
            assert client.get(path).status_code == 401
    foreign = Authority(tmp_path, "foreign").issue("root", "/CN=root")
    with front.client(foreign) as client:
        assert who(client) == 400  # nginx's own page for a certificate that it does not believe


@pytest.mark.parametrize(
    ("file", "subject", "options"),
    [
        ("inside", "/O=a,CN=root/CN=ann b", ()),
        ("before", "/CN=root/O=Example", ()),
        ("both", "/CN=ann+CN=root", ("-multivalue-rdn",)),
        ("nobody", "/O=Example", ()),
        ("stranger", "/CN=nobody-we-know", ()),
    ],
)
def test_a_subject_that_could_be_read_otherwise_is_nobody(
    front: Front, file: str, subject: str, options: tuple[str, ...]
) -> None:
    with front.client(front.users.issue(file, subject, *options)) as client:
        assert who(client) == 401


def test_a_job_is_followed_through_it_as_it_prints(front: Front, root: tuple[Path, Path]) -> None:
    here = front.facade.here
    with front.client(root) as client:
        client.post("/queue", json={"name": "followed"}).raise_for_status()
        job = enqueue(client, "followed")
        here.attempt(job, stdout=[b"first"])
        here.set_job(job, status="Processing")
        seen: list[str] = []
        with client.stream("GET", f"/job/{job}/stream") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")

            def listen() -> None:
                seen.extend(answer.iter_lines())  # one by one, as they come

            listener = threading.Thread(target=listen)
            listener.start()
            wait_until(lambda: any("first" in line for line in seen), 60, "the first output, while it runs")
            here.write(job, "stdout", b"second")
            wait_until(lambda: any("second" in line for line in seen), 60, "the second output, while it runs")
            assert "event: end" not in seen
            with here.database.write() as connection:
                connection.exec_driver_sql(
                    "UPDATE attempts SET state='ended', exit_code=0 WHERE job_id=?", (job,)
                )
            here.set_job(job, status="Done")
            listener.join(60)
        assert "event: end" in seen


def test_the_command_line_logs_in_with_a_certificate(
    front: Front, ann: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / ".config" / "batchd"
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(
        f"manager_url: https://localhost:{front.port}\nca_certificate: {front.server_ca}\n"
        f"certificate: {ann[0]}\nkey: {ann[1]}\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BATCH")}
    done = subprocess.run(
        [Path(sys.executable).parent / "batch", "type"],
        env=kept | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "command" in done.stdout

"""Podman's Docker API on a socket of the tests' own, and containers made of the machine's own programs.

No image is fetched: one of empty folders is enough, with the machine's /usr mounted read-only.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker

from tests.own_namespace import daemon_in_namespace
from tests.prefect_server import free_port
from tests.waiting import need_programs

HIDDEN = ("/run/netns", "/run/containers", "/run/libpod", "/var/lib/cni", "/etc/cni/net.d")
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
FOLDERS = ("usr", "etc", "proc", "sys", "dev", "run", "run/sshd", "tmp", "root", "var", "home")
LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
FILES = {
    "etc/passwd": b"root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
}


@dataclass(frozen=True, kw_only=True)
class ContainerEngine:
    folder: Path
    unix_socket: Path
    image: str

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        client = docker.DockerClient(base_url=f"unix://{self.unix_socket}", version="auto", timeout=60)
        try:
            yield client
        finally:
            client.close()

    def add(self, name: str, command: Sequence[str], mounts: Mapping[Path, str] | None = None) -> None:
        """A container that is not running, with the network of this machine; `mounts`: folder → place."""
        volumes: dict[str, dict[str, str]] = {"/usr": {"bind": "/usr", "mode": "ro"}}
        volumes |= {str(f): {"bind": place, "mode": "ro"} for f, place in (mounts or {}).items()}
        with self.client() as client:
            client.containers.create(
                self.image, list(command), name=name, network_mode="host", volumes=volumes
            )

    def status(self, name: str) -> str:
        with self.client() as client:
            return str(client.containers.get(name).status)

    def add_sshd(self, name: str, authorized_keys: str) -> SshdContainer:
        """A container whose one program is an sshd on a free port of 127.0.0.1; user root, not running."""
        folder = self.folder / f"{name}-ssh"
        folder.mkdir()
        port = free_port()
        key = folder / "ssh_host_ed25519_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        (folder / "authorized_keys").write_text(authorized_keys)
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey /etc/ssh/{key.name}\n"
            "AuthorizedKeysFile /etc/ssh/authorized_keys\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nStrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\n"
            "Subsystem sftp internal-sftp\n"
        )
        sshd = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config"]
        self.add(name, sshd, {folder: "/etc/ssh"})
        public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        return SshdContainer(name=name, port=port, host_key=public)


@dataclass(frozen=True, kw_only=True)
class SshdContainer:
    name: str
    port: int
    host_key: str


@contextmanager
def running_engine(folder: Path) -> Iterator[ContainerEngine]:
    need_programs("podman", "runc", "sshd")
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    socket = folder / "engine.sock"
    # Podman takes no runroot of more than fifty characters.
    with TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as short:
        places = [f"--root={folder}/root", f"--runroot={short}/run", f"--tmpdir={folder}/tmp"]
        serve = ["system", "service", "--time=0", f"unix://{socket}"]
        command = ["podman", *places, "--storage-driver=vfs", *serve]
        environ = {"CONTAINERS_CONF": str(folder / "containers.conf")}
        with daemon_in_namespace(folder, HIDDEN, command, socket, environ):
            yield ContainerEngine(folder=folder, unix_socket=socket, image=_import_image(socket))


def _import_image(socket: Path) -> str:
    client = docker.DockerClient(base_url=f"unix://{socket}", version="auto", timeout=60)
    try:
        client.api.import_image_from_data(_root_folder(), repository="localhost/machine", tag="latest")
        return str(client.images.list()[0].id)
    finally:
        client.close()


def _root_folder() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in FOLDERS:
            _add(archive, name, tarfile.DIRTYPE, mode=0o755)
        for name, target in LINKS.items():
            _add(archive, name, tarfile.SYMTYPE, linkname=target)
        for name, content in {**FILES, "etc/ld.so.cache": Path("/etc/ld.so.cache").read_bytes()}.items():
            _add(archive, name, tarfile.REGTYPE, content, mode=0o644)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, kind: bytes, content: bytes = b"", **more: Any) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(content)
    for key, value in more.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(content))

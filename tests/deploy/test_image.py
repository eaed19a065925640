"""The container recipe through a real podman, on a base image that only pretends to hold Python: every
instruction is carried out, and what comes out is started. No image is fetched, no package installed."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.container_engine import ContainerEngine, running_engine
from tests.packaging import ROOT, copy_sources
from tests.waiting import need_programs, need_root

pytestmark = pytest.mark.slow
RECIPE = ROOT / "sample-configs" / "deploy" / "Containerfile"
BASE = ("docker.io/library/python", "3.11-slim")
BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "mkdir", "cat", "chmod", "test", "id", "echo", "ls")
# `python -m venv DIR` makes a pip that looks at what it is given and "installs" a batchd.
PYTHON = """#!/bin/sh
set -e
test "$1 $2" = "-m venv"
mkdir -p "$3/bin"
cat > "$3/bin/pip" <<'PIP'
#!/bin/sh
set -e
test "$1 $2 $3" = "install --no-cache-dir --constraint"
test -f "$4"
for needed in pyproject.toml README.md LICENSE batchd_api/app.py batchd_cli/version.py migrations/env.py \
  flows/batchd_flows/run.py infra/batchd_infra/ssh.py sample-configs/batchd.yaml; do
  test -f "$5/$needed" || { echo "$needed is missing"; exit 1; }
done
said='echo "batchd $* as $(id -un), state in $XDG_STATE_HOME, at $(pwd)"'
printf '%s\\n' '#!/bin/sh' "$said" > "${0%/*}/batchd"
chmod +x "${0%/*}/batchd"
PIP
chmod +x "$3/bin/pip"
"""
USERADD = """#!/bin/sh
set -e
test "$1 $2 $3 $4 $5" = "--system --create-home --home-dir /var/lib/batchd --shell"
mkdir -p "$4"
echo "$7:x:999:999::$4:$6" >> /etc/passwd
"""


def base_image() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:

        def add(
            name: str, content: bytes = b"", mode: int = 0o644, kind: bytes = tarfile.REGTYPE, to: str = ""
        ) -> None:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.linkname, member.size = kind, mode, to, len(content)
            archive.addfile(member, io.BytesIO(content))

        for folder in (
            "bin",
            "etc",
            "usr",
            "usr/local",
            "usr/local/bin",
            "usr/sbin",
            "var",
            "proc",
            "sys",
            "dev",
            "tmp",
        ):
            add(folder, mode=0o755, kind=tarfile.DIRTYPE)
        add("bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for applet in APPLETS:
            add(f"bin/{applet}", kind=tarfile.SYMTYPE, to="busybox")
        add("usr/local/bin/python", PYTHON.encode(), 0o755)
        add("usr/local/bin/useradd", USERADD.encode(), 0o755)
        add("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        add("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerEngine]:
    need_root()
    need_programs("podman", "runc", "busybox")
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


def test_podman_builds_the_recipe_and_what_it_makes_starts_the_daemon(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    context = copy_sources(tmp_path / "context")
    shutil.copy(ROOT / "constraints.txt", context)
    with engine.client() as client:
        client.api.import_image_from_data(base_image(), repository=BASE[0], tag=BASE[1])
        newest = max(client.images.list(), key=lambda image: image.attrs["Created"])
        newest.tag(*BASE)
        try:
            image, _ = client.images.build(
                path=str(context), dockerfile=str(RECIPE.relative_to(ROOT)), tag="batchd", pull=False
            )
        except docker.errors.BuildError as error:
            raise AssertionError("".join(line.get("stream", "") for line in error.build_log)) from error
        config = image.attrs["Config"]
        assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["batchd"], ["both"], "batchd")
        assert "BATCHD_CONFIG=/etc/batchd/batchd.yaml" in config["Env"]
        said = client.containers.run(image.id, network_mode="host", remove=True)
    assert said.decode() == "batchd both as batchd, state in /var/lib, at /var/lib/batchd\n"

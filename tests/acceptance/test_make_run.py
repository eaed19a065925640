"""`make run` without any configuration, in a network of its own, because the default ports are fixed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.harness import PASSWORD, until
from tests.packaging import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BIN = Path(sys.executable).parent
ALONE = ["unshare", "--net", "--map-root-user"]


def has_networks_of_its_own() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*ALONE, "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0


def test_the_default_needs_no_configuration(tmp_path: Path) -> None:
    if not has_networks_of_its_own():
        reason = "unshare --net or ip is missing, and the default's ports may be in use here"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BATCH", "PREFECT"))}
    environment = kept | {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "BATCH_USERNAME": "root",
        "BATCH_PASSWORD": PASSWORD,
    }
    subprocess.run(
        [BIN / "batchd-admin", "create-superuser", "--password-stdin", "root"],
        env=environment,
        input=PASSWORD,
        text=True,
        check=True,
    )
    with (tmp_path / "said").open("w") as said:
        started = subprocess.Popen(
            [*ALONE, "sh", "-c", "ip link set lo up && exec make --no-print-directory run"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def batch(*words: str) -> str:
        inside = ["nsenter", f"--target={started.pid}", "--net", "--user", "--preserve-credentials"]
        done = subprocess.run(
            [*inside, BIN / "batch", *words], env=environment, capture_output=True, text=True
        )
        return done.stdout

    def terminal() -> str:
        return (tmp_path / "said").read_text()

    try:
        number = until(120, "the facade", lambda: batch("enqueue", "echo", "by default")).strip()
        until(120, "the end of the job", lambda: re.search(r"Status: +Done", batch("job", number)))
        assert "http://127.0.0.1:9681" in terminal()
        assert "http://127.0.0.1:4200" in terminal()
    finally:
        os.killpg(started.pid, signal.SIGINT)
        started.wait(60)

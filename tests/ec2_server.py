"""An EC2 API over HTTP on a free port: moto's server, whose instances change their state at once."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection
from typing import Any

import boto3

from tests.prefect_server import free_port
from tests.waiting import missing, wait_until

START_SECONDS = 60
REGION = "eu-west-1"
KEY = "key-of-the-tests"
SECRET = "secret-of-the-tests"


@dataclass(frozen=True, kw_only=True)
class Ec2Server:
    url: str

    def client(self) -> Any:
        return boto3.client(
            "ec2",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def add(self, name: str, *, running: bool = False) -> str:
        """An instance with this Name tag; its id."""
        ec2 = self.client()
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
        made = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=tags)
        number = str(made["Instances"][0]["InstanceId"])
        if not running:
            ec2.stop_instances(InstanceIds=[number])
        return number

    def state(self, number: str) -> str:
        found = self.client().describe_instances(InstanceIds=[number])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])


@contextmanager
def running_ec2(folder: Path) -> Iterator[Ec2Server]:
    if importlib.util.find_spec("moto") is None:
        missing("moto is not installed")
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ |= {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "ec2.log").open("wb") as log:
        server = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(server, port, folder), START_SECONDS, "the EC2 server answers")
        yield Ec2Server(url=f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _answers(server: subprocess.Popen[bytes], port: int, folder: Path) -> bool:
    assert server.poll() is None, (folder / "ec2.log").read_text()
    with suppress(OSError), create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False

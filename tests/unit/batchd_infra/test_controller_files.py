"""What the file of each driver may say, and what its driver makes of it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from batchd_infra.config_files import ConfigError, read_config
from batchd_infra.docker_container import read_docker_settings
from batchd_infra.ec2_settings import Ec2Settings, read_ec2_settings
from batchd_infra.linode_settings import read_linode_settings

OLD_NAMES = {
    "Virginia": "us-east-1", "NorthVirginia": "us-east-1", "Ohio": "us-east-2", "Oregon": "us-west-2",
    "NorthCalifornia": "us-west-1", "Ireland": "eu-west-1", "London": "eu-west-2",
    "Frankfurt": "eu-central-1", "Tokyo": "ap-northeast-1", "Seoul": "ap-northeast-2",
    "Singapore": "ap-southeast-1", "Sydney": "ap-southeast-2", "Mumbai": "ap-south-1",
    "SaoPaulo": "sa-east-1", "Montreal": "ca-central-1", "Beijing": "cn-north-1",
    "GovCloud": "us-gov-west-1", "GovCloudFIPS": "us-gov-west-1",
}  # fmt: skip


def ec2(tmp_path: Path, text: str) -> Ec2Settings:
    (tmp_path / "c.yaml").write_text(text)
    return read_ec2_settings(read_config(tmp_path / "c.yaml"))


@pytest.mark.parametrize("name", [*OLD_NAMES, "eu-central-2"])
def test_a_region_is_a_code_or_one_of_the_old_names(tmp_path: Path, name: str) -> None:
    read = ec2(tmp_path, f"region: {name}\n")
    assert (read.region, read.fips) == (OLD_NAMES.get(name, name), name == "GovCloudFIPS")


def test_credentials_are_discovered_or_in_a_file_or_written_out(tmp_path: Path) -> None:
    assert ec2(tmp_path, "credentials: discover\n") == ec2(tmp_path, "") == Ec2Settings()
    file = ec2(tmp_path, "credentials: {path: ~/c, profile: p}\n")
    assert (file.credentials_path, file.profile, file.access_key) == ("~/c", "p", None)
    keys = ec2(tmp_path, "credentials: {access_key: a, secret_key: hunter2}\n")
    assert keys.secret_key == SecretStr("hunter2")
    assert "hunter2" not in repr(keys)


@pytest.mark.parametrize(
    "credentials", ["find", "{access_key: a}", "{access_key: a, secret_key: hunter2, path: x}"]
)
def test_credentials_that_leave_open_what_is_meant_are_refused_unshown(
    tmp_path: Path, credentials: str
) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml:1: credentials") as raised:
        ec2(tmp_path, f"credentials: {credentials}\n")
    assert "hunter2" not in str(raised.value)


def test_a_unix_socket_counts_before_a_url_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("unix_socket: /s\nbase_url: http://x\n")
    fields = read_config(tmp_path / "c.yaml")
    assert read_docker_settings(fields).url == "unix:///s"
    assert "base_url: has no effect" in str(fields.warnings[0])


def test_a_linode_controller_needs_its_token_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("actions: create_and_delete\n")
    with pytest.raises(ConfigError, match="token_file: is missing"):
        read_linode_settings(read_config(tmp_path / "c.yaml"))

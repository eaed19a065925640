"""What a job may see of the dispatcher's environment."""

import pytest

from batchd_flows.environment import job_environment

SECRETS = [
    "PREFECT_API_URL",
    "PREFECT_SERVER_API_AUTH_STRING",
    "prefect_api_key",
    "BATCHD_CONFIG",
    "BATCH_PASSWORD",
    "MYSQL_PASSWORD",
    "PGPASSWORD",
    "PGPASSFILE",
    "GITHUB_TOKEN",
    "CLIENT_SECRET",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "LINODE_API_KEY",
    "LINODE_APIKEY",
    "SSH_PRIVATE_KEY",
    "KEY_PASSPHRASE",
    "API_AUTH_STRING",
    "DB_CONNECTION_STRING",
    "DATABASE_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CREDENTIALS_DIRECTORY",
]
ORDINARY = ["PATH", "HOME", "LANG", "EDITOR", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "KEYBOARD", "PGHOST"]


@pytest.mark.parametrize("name", SECRETS)
def test_g9_secrets_stay_with_the_dispatcher(name):
    assert job_environment({name: "x"}) == {}


@pytest.mark.parametrize("name", ORDINARY)
def test_what_is_no_secret_is_inherited(name):
    assert job_environment({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "value", ["postgresql://u:pw@db/batchd", "http://user:pw@proxy:3128", "see https://a:b@c/d and more"]
)
def test_an_address_with_a_password_in_it_is_a_secret_whatever_its_name(value):
    assert job_environment({"LOCATION": value}) == {}


@pytest.mark.parametrize("value", ["http://proxy:3128", "ssh://host/path", "a:b@c", "https://user@host/"])
def test_an_address_without_one_is_not(value):
    assert job_environment({"http_proxy": value}) == {"http_proxy": value}


def test_clean_leaves_only_what_every_program_needs():
    inherited = dict.fromkeys(
        ["PATH", "HOME", "LC_ALL", "TZ", "XDG_RUNTIME_DIR", "EDITOR", "PYTHONPATH"], "x"
    )
    assert sorted(job_environment(inherited, clean=True)) == [
        "HOME",
        "LC_ALL",
        "PATH",
        "TZ",
        "XDG_RUNTIME_DIR",
    ]


def test_a_long_value_is_looked_through_once():
    assert job_environment({"LONG": "a" * 1_000_000}) == {"LONG": "a" * 1_000_000}

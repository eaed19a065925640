"""The container recipe and the compose file: every file, command and setting that they name is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings as PrefectSettings
from pydantic import SecretStr

from batchd_api.settings import database_url, load_settings
from batchd_flows.server_settings import ServerSettings, server_environment
from tests.packaging import ROOT
from tests.waiting import need_programs

pytestmark = pytest.mark.slow
DEPLOY = ROOT / "sample-configs" / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BIN = Path(sys.executable).parent
RECIPE = (DEPLOY / "Containerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
OURS = ("manager", "dispatcher")


def instructions(word: str) -> list[list[str]]:
    return [line.split()[1:] for line in RECIPE.splitlines() if line.startswith(f"{word} ")]


def prefect_variables() -> set[str]:
    """As Prefect's own settings name them."""
    found: set[str] = set()

    def walk(model: Any) -> None:
        prefix = model.model_config.get("env_prefix", "")
        for name, field in model.model_fields.items():
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                walk(inner)
            else:
                found.add(f"{prefix}{name}".upper())
                alias = field.validation_alias
                found.update(str(choice).upper() for choice in getattr(alias, "choices", ()))

    walk(PrefectSettings)
    return found


def env_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_recipe_copies_files_that_are_there_and_all_that_the_wheel_is_made_of() -> None:
    copied = [word for words in instructions("COPY") if not words[0].startswith("--") for word in words[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    needed = {"pyproject.toml", "constraints.txt", PROJECT["readme"], *PROJECT["license-files"]}
    needed |= {"batchd_api", "batchd_cli", "flows", "infra", "migrations", "sample-configs"}
    assert set(copied) == needed


def test_the_recipe_starts_a_command_of_ours_with_a_python_that_we_support() -> None:
    (entry,) = instructions("ENTRYPOINT")
    (command,) = instructions("CMD")
    assert json.loads(entry[0])[0] in PROJECT["scripts"]
    assert subprocess.run([BIN / "batchd", json.loads(command[0])[0], "--help"], timeout=60).returncode == 0
    least = PROJECT["requires-python"].removeprefix(">=")
    assert {words[0] for words in instructions("FROM")} == {f"python:{least}-slim"}
    assert instructions("USER") == [["batchd"]]


def test_the_compose_file_names_files_commands_and_services_that_are_there() -> None:
    volumes = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["volumes"]
    for service in SERVICES.values():
        for source in (volume.split(":")[0] for volume in service.get("volumes", ())):
            assert (DEPLOY / source).exists() if source.startswith(".") else source in volumes
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        if build := service.get("build"):
            context = (DEPLOY / build["context"]).resolve()
            assert context == ROOT
            assert (context / build["dockerfile"]).is_file()
    for name in OURS:
        shown = subprocess.run([BIN / "batchd", *SERVICES[name]["command"], "--help"], timeout=60)
        assert shown.returncode == 0
    prefect = [BIN / SERVICES["prefect"]["entrypoint"][0], "server", "start", "--help"]
    assert subprocess.run(prefect, capture_output=True, timeout=60).returncode == 0


def test_the_compose_files_configuration_leads_to_its_services() -> None:
    loaded = load_settings(DEPLOY / "batchd-compose.yaml", {"HOME": "/home/ann"})
    assert loaded.problems == ()
    assert "@db:5432/batchd" in database_url(loaded.settings)
    assert SERVICES["db"]["environment"]["POSTGRES_DB"] == "batchd"
    assert loaded.settings.prefect.api_url == "http://prefect:4200/api"
    (port,) = SERVICES["manager"]["ports"]
    assert port == f"127.0.0.1:{loaded.settings.manager.port}:{loaded.settings.manager.port}"


def test_the_prefect_server_is_told_what_the_embedded_one_is_told() -> None:
    own = ServerSettings(
        home=Path("/x"),
        port=4200,
        auth_string=SecretStr("a:b"),
        done_jobs_days=2,
        database_url=SecretStr("postgresql+asyncpg://x"),
    )
    told = server_environment(own, base={})
    given = env_file(DEPLOY / "prefect.env")
    differ = {"AUTH_STRING", "CONNECTION_URL", "STATIC_DIRECTORY"}
    for name, value in given.items():
        assert name in told
        assert told[name] == value or any(word in name for word in differ), name
    assert {name for name in SERVICES["prefect"]["environment"] if name != "PREFECT_HOME"} <= set(given)
    assert {name for name in given if name != "DO_NOT_TRACK"} <= prefect_variables()


def test_podman_compose_understands_the_file(tmp_path: Path) -> None:
    need_programs("podman-compose", "podman")
    environment = os.environ | {
        "BATCHD_DB_PASSWORD": "db-password",
        "PREFECT_AUTH_STRING": "batchd:auth",
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    words = ["podman-compose", "--dry-run", "-f", DEPLOY / "compose.yaml", "up", "-d"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    started = re.findall(r"^podman run --name=\w+?_(\w+)_1 ", said, re.MULTILINE)
    assert sorted(started) == sorted(SERVICES)
    assert "PGPASSWORD=db-password" in said
    assert "PREFECT_SERVER_API_AUTH_STRING=batchd:auth" in said


def test_podman_compose_refuses_to_go_without_passwords(tmp_path: Path) -> None:
    need_programs("podman-compose", "podman")
    kept = {k: v for k, v in os.environ.items() if k not in ("BATCHD_DB_PASSWORD", "PREFECT_AUTH_STRING")}
    words = ["podman-compose", "--dry-run", "-f", DEPLOY / "compose.yaml", "up", "-d"]
    done = subprocess.run(
        words, env=kept | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert "write the password of the database into .env" in done.stdout + done.stderr

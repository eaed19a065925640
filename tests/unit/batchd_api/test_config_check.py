"""`batchd-admin check-config`: every file is read, and each mistake has its file, line and key."""

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchd_api.admin import main

SAMPLES = Path(__file__).parents[3] / "sample-configs"


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Write files (place → text), and run the command."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def run(**files):
        config = tmp_path / "etc" / "batchd.yaml"
        for place, text in ({"batchd": f"state_directory: {tmp_path}\n"} | files).items():
            path = (tmp_path / "etc" / place.replace("__", "/")).with_suffix(".yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return CliRunner().invoke(main, ["-c", str(config), "check-config"])

    return run


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("batchd", "manager:\n  port: many\n", "error: {}:2: manager.port: must be a whole number"),
        ("batchd", "manager:\n  prot: 1\n", "warning: {}:2: manager.prot: unknown key"),
        ("jobtypes__t", "name: t\ntemplate: \"echo 'x\"\n", "error: {}:2: template: line 1 of it: a sin"),
        ("jobtypes__t", "name: t\ntemplate: echo\nhost_name: gone\n", "error: {}:3: host_name: no file in"),
        ("jobtypes__t", "name: t\ntemplate: x\nrun_as: no-such-user\n", "warning: {}:3: run_as: this mac"),
        (
            "jobtypes__t",
            "name: t\ntemplate: x\nhost_name: farm\nrun_as: ann\n",
            'error: {}:4: run_as: jobs on the host "farm" run as its user_name',
        ),
        ("jobtypes__t", "name: [\n", "error: {}:"),
        ("hosts__h", "name: h\ncontroller: gone\n", "error: {}:2: controller: there is no controller 'gone'"),
        ("hosts__h", "name: h\nport: 0\n", "error: {}:2: port: must be from 1"),
        ("hosts__h", "name: h\nstartup_commands_on_host:\n  - echo fine\n  - echo 'x\n",
         "error: {}:2: startup_commands_on_host: command 2: a single quote"),
        ("hosts__h", "name: h\nstartup_commands_on_dispatcher: [mount $hostname, if]\n",
         "error: {}:2: startup_commands_on_dispatcher: command 2: "),
        ("hosts__h", "name: h\n\tport: 1\n", "error: {}:2: port: a tab"),
        ("hosts__h", "name: h\nname: g\n", "error: {}:2: name: the key stands twice, first on line 1"),
        ("hosts__h", "name: h\nhost_key_policy: none\n", "error: {}:2: host_key_policy: must be one of"),
        ("hosts__h", "name: h\nshutdown_timeout: soon\n", "error: {}:2: shutdown_timeout: must be a num"),
        ("controllers__c", "name: c\n", "error: {}:1: driver: is missing"),
        ("controllers__c", "name: c\ndriver: xen\n", "error: {}:2: driver: must be one of libvirt, docker"),
        ("controllers__c", "name: local\ndriver: fake\n", "error: {}:1: name: 'local' is built in"),
        ("controllers__c", "name: c\ndriver: libvirt\nconnection_string: [x]\n", "error: {}:3: connection_"),
        ("controllers__c", "name: c\ndriver: docker\nunix_sockett: /x\n", "warning: {}:3: unix_sockett: un"),
        ("controllers__c", "name: c\ndriver: awsec2\nregion: Frankfort\n",
         "error: {}:3: region: must be a code such as 'eu-central-1', not 'Frankfort'; did you mean 'Frank"),
        ("controllers__c", "name: c\ndriver: awsec2\ncredentials: guess\n", "error: {}:3: credentials: must"),
        ("controllers__c", "name: c\ndriver: linode\nactions: start\ntoken_file: /t\n",
         "error: {}:3: actions: must be one of boot_and_shutdown, create_and_delete, not 'start'"),
        ("controllers__c", "name: c\ndriver: linode\ntoken_file: /nowhere\n",
         "warning: {}:3: token_file: there is no file /nowhere"),
        ("controllers__c", "name: c\ndriver: awsec2\ncredentials:\n  profile: a\n  path: ~/none\n",
         "warning: {}:5: credentials.path: there is no file ~/none"),
        ("hosts__h", "name: h\nport: 22\nprivate_key: ~/.ssh/gone\n",
         "warning: {}:3: private_key: there is no file ~/.ssh/gone"),
        ("client", "queue: night\ndisable_auth: maybe\n", "error: {}:2: disable_auth: must be true or false"),
        ("client", "queu: night\n", "warning: {}:1: queu: unknown key, it has no effect; did"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_and_key(check, tmp_path, place, text, said):
    done = check(**{place: text})
    path = (tmp_path / "etc" / place.replace("__", "/")).with_suffix(".yaml")
    assert said.format(path) in done.stdout
    assert done.exit_code == (1 if said.startswith("error") else 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("  type: a\n  regoin: b\n", "warning: {}:5: lin.regoin: unknown key, it has no effect; did"),
        ("  type: a\n  image: b\n", "error: {}:4: lin.region: is missing: a Linode is created with it"),
        ("  type: a\n  region: b\n  image: c\n  stackscript_id: d\n",
         "error: {}:7: lin.stackscript_id: must be a number"),
        ("  type: a\n  region: b\n  image: c\n  address: d\n", "error: {}:7: lin.address: must be one of"),
        ("  type: a\n  region: b\n  image: c\npublic_key: /nowhere\n", "error: {}:7: public_key: cannot be"),
    ],
)  # fmt: skip
def test_what_a_host_says_for_its_controller_is_checked_at_its_own_line(check, tmp_path, settings, said):
    lin = "name: lin\ndriver: linode\ntoken_file: /t\nactions: create_and_delete\n"
    key = "" if "public_key" in settings else "\npublic_key: ssh-ed25519 AAAA\n"
    done = check(controllers__lin=lin, hosts__h=f"name: made\ncontroller: lin\nlin:\n{settings}{key}")
    assert said.format(tmp_path / "etc" / "hosts" / "h.yaml") in done.stdout


def test_a_bad_file_hides_no_other(check):
    done = check(batchd="port: [\n", jobtypes__t="name: t\n", hosts__h="name: h\nport: x\n")
    assert done.stdout.count("error: ") == 3
    assert done.stdout.endswith("3 files, 3 errors, 0 warnings.\n")


def test_a_script_that_waits_for_values_in_its_text_is_found(check):
    script = (
        'name: t\ntemplate:\n  - "#!/usr/bin/env python3"\n  - print("$frame")\nparams: [{name: frame}]\n'
    )
    done = check(jobtypes__t=script)
    assert "line 2 of the script: frame stays text" in done.stdout
    assert done.exit_code == 0


def test_the_sample_configuration_is_found_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / ".ssh" / "id_ed25519"], check=True
    )
    (tmp_path / ".ssh" / "ec2.pem").symlink_to("id_ed25519")
    done = CliRunner().invoke(main, ["-c", str(SAMPLES / "batchd.yaml"), "check-config"])
    (warning, summary) = done.stdout.splitlines()  # that file is nobody's but an administrator's to make
    assert warning.endswith("linode.yaml:5: token_file: there is no file /etc/batchd/linode.token")
    assert (done.exit_code, summary) == (0, "18 files, 0 errors, 1 warnings.")

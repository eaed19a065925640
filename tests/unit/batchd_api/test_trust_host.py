"""`batchd-admin trust-host` against a real sshd."""

import pytest
from click.testing import CliRunner

from batchd_api.admin import main
from tests.sshd import running_sshd


@pytest.fixture
def trust(tmp_path):
    (tmp_path / "batchd.yaml").write_text(f"state_directory: {tmp_path / 'state'}\n")
    (tmp_path / "hosts").mkdir()

    def run(server, *words, **fields):
        (tmp_path / "hosts" / "farm.yaml").write_text(
            f"name: farm\nhost_name: 127.0.0.1\nport: {server.port}\n"
        )
        return CliRunner().invoke(
            main, ["-c", str(tmp_path / "batchd.yaml"), "trust-host", "farm", *words], **fields
        )

    return run


def test_a_key_is_trusted_once_a_person_has_seen_its_fingerprint(trust, tmp_path):
    known = tmp_path / "state" / "known_hosts"
    with running_sshd(tmp_path / "sshd") as server:
        refused = trust(server, input="n\n")
        assert refused.exit_code == 1
        assert server.fingerprint() in refused.stdout
        assert not known.exists()
        assert trust(server, input="y\n").exit_code == 0
        public = (server.host_key.with_suffix(".pub")).read_text().split()[:2]
        assert known.read_text().split() == [f"[127.0.0.1]:{server.port}", *public]
        assert "already" in trust(server).stdout


def test_d2_a_changed_key_is_refused_loudly(trust, tmp_path):
    known = tmp_path / "state" / "known_hosts"
    with running_sshd(tmp_path / "one") as server:
        assert trust(server, "--yes").exit_code == 0
    before = known.read_bytes()
    with running_sshd(tmp_path / "two", port=server.port) as other:
        result = trust(other, "--yes")
    assert result.exit_code == 1
    assert "HAS CHANGED" in result.stderr
    assert known.read_bytes() == before


def test_a_host_that_no_file_defines_or_nobody_answers_for_is_one_sentence(trust, tmp_path):
    with running_sshd(tmp_path / "sshd") as server:
        pass
    result = trust(server, "--yes")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert str(server.port) in result.stderr

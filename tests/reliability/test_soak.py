"""The two-minute version of `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.soak import FULL_JOBS, FULL_SECONDS, soak

pytestmark = pytest.mark.slow

SECONDS = 120
SSH_SECONDS = 60


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_h9_nothing_is_lost_or_doubled_while_everything_is_killed_again_and_again(tmp_path: Path) -> None:
    print(soak(tmp_path, seed=1, seconds=SECONDS, count=FULL_JOBS * SECONDS // FULL_SECONDS))


@pytest.mark.timeout(1500)
def test_h9_nor_while_half_of_the_jobs_run_on_a_host_whose_sshd_and_network_fail_too(tmp_path: Path) -> None:
    count = FULL_JOBS * SSH_SECONDS // FULL_SECONDS
    print(soak(tmp_path, seed=2, seconds=SSH_SECONDS, count=count, ssh=True))

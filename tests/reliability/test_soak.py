"""The two-minute version of `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.soak import FULL_JOBS, FULL_SECONDS, soak

pytestmark = pytest.mark.slow

SECONDS = 120


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_h9_nothing_is_lost_or_doubled_while_everything_is_killed_again_and_again(tmp_path: Path) -> None:
    print(soak(tmp_path, seed=1, seconds=SECONDS, count=FULL_JOBS * SECONDS // FULL_SECONDS))

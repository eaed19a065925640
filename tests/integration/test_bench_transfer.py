"""The benchmark of transfers works, with small numbers; how fast it is, it says itself."""

import shutil
from pathlib import Path

import pytest

from bench import transfer


def test_the_transfer_benchmark_measures_both_ways_of_copying(tmp_path: Path) -> None:
    if shutil.which("scp") is None or shutil.which("sftp") is None:
        pytest.skip("there is no OpenSSH client on this machine")
    figures = list(transfer.measure(tmp_path, quick=True))
    assert [figure.against.partition(":")[0] for figure in figures] == ["scp", "sftp -b"]
    assert all(figure.ratio.endswith("×") for figure in figures)

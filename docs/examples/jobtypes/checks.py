"""Two job types written in Python. The daemon reads this file and runs none of it."""

import gzip
import math
import sys
from pathlib import Path

from batchd_flows import InputFile, job_type


@job_type(title="Compare a packed file with its source")
def verify(file: InputFile, packed: InputFile):
    same = Path(file).read_bytes() == gzip.decompress(Path(packed).read_bytes())
    print("the same" if same else "DIFFERENT")
    sys.exit(0 if same else 1)


@job_type(on_fail={"retry": {"when": "later", "count": 1}}, timeout="10 min")
def settle(steps: int = 1000, damping: str = "0.1"):
    """How far a damped swing still moves after some steps."""
    print(math.exp(-float(damping) * steps / 100))

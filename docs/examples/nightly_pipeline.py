"""Three job types, one after the other, here and now: each is a subflow with its own log and state."""

import sys
from pathlib import Path

from prefect import flow

from batchd_flows import job_flow


@flow(log_prints=True)
def nightly(folder: Path) -> None:
    table, packed = folder / "table.txt", folder / "table.gz"
    job_flow("dump")(rows=5000, table=table)
    size = job_flow("compress")(file=table, packed=packed).stdout.strip()
    job_flow("verify")(file=table, packed=packed)  # CommandFailed ends this flow too
    print(f"packed to {size} bytes, and verified")


if __name__ == "__main__":
    nightly(Path(sys.argv[1]))

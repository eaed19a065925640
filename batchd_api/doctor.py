"""`batchd doctor`: a process of its own, because it loads what the daemon's start does not wait for."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from batchd_api.answers import printable
from batchd_api.checkup import Finding, Verdict, everything
from batchd_api.config_check import check_config

TO_FIX = 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="batchd doctor")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    worst = 0
    for finding in everything(check_config(arguments.config, os.environ), datetime.now(UTC)):
        print(json.dumps(asdict(finding)) if arguments.json else line(finding), flush=True)
        worst = TO_FIX if finding.verdict is Verdict.FIX else worst
    sys.exit(worst)


def line(finding: Finding) -> str:
    return f"{finding.verdict:<5}{finding.topic + ':':<15} {printable(finding.text)}"


if __name__ == "__main__":
    main()

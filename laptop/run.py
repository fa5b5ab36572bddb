"""`make run`: uploads CSV files to the pipeline on the embedded AWS, shows what becomes of them, keeps the results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local_aws.interrupts import Interrupts


def main() -> int:
    """Run once.

    Returns:
        0 if everything ended as it should, 1 if not, 2 if there was nothing to run on or another run is at work, 130 if
        it was interrupted.
    """
    interrupts = Interrupts()
    arguments = _parse()
    # Takes seconds to import: an interruption meanwhile is noticed afterwards, in place of a traceback.
    from laptop.one_run import run

    return run(arguments.input, deadline_seconds=60 * arguments.deadline_minutes, interrupts=interrupts)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m laptop.run", description=__doc__)
    parser.add_argument("--input", type=Path, help="folder of CSV files; generated samples without it")
    parser.add_argument("--deadline-minutes", type=float, default=60, help="give up after this time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

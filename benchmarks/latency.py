"""`make latency`: seconds from the upload of one small file until it is published and archived."""

from __future__ import annotations

import argparse
import sys

from local_aws.interrupts import Interrupted, Interrupts


def main() -> int:
    """Measure, and print each time.

    Returns:
        0, or 130 if it was interrupted.
    """
    interrupts = Interrupts()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=4, help="files, one after another")
    count = parser.parse_args().count
    # Takes seconds to import: an interruption meanwhile is noticed afterwards, in place of a traceback.
    from benchmarks.small_file import measure

    try:
        measure(count, interrupts)
    except Interrupted as interrupted:
        print("Interrupted: the embedded AWS has stopped.", file=sys.stderr)
        return interrupted.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

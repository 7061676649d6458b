"""Compare this package with other libraries in one run.

python -m benchmarks                        every job; writes docs/performance/results.md and results.json
python -m benchmarks --jobs a,c --peers torch --blas-kernel both
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nnscratch.bench import command

from .libraries import LIBRARIES, ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    command.add_options(parser, LIBRARIES)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance", help="folder (default: %(default)s)")
    parser.add_argument(
        "--add", action="store_true", help="keep the other results in the folder and measure only the chosen jobs again"
    )
    arguments = parser.parse_args()
    try:
        command.run(arguments, LIBRARIES, arguments.out, roots=[ROOT], add=arguments.add)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

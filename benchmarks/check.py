"""Check that nothing has become slower: compare the time ratios to PyTorch with thresholds.json.

    python -m benchmarks.check              takes about a minute; exit code 1 if a ratio is above its threshold
    python -m benchmarks.check --update     write the measured ratios plus 10 % as the new thresholds

Run it before a release, on a machine that does nothing else. It compares ratios and not times, so the machine matters
less. OpenBLAS uses the best kernel for the processor, as in the nnscratch command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from nnscratch.bench import report, runner
from nnscratch.bench.jobs import JOBS

THRESHOLDS = Path(__file__).with_name("thresholds.json")
MARGIN = 1.1


def verdicts(ratios: Mapping[str, float | None], thresholds: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
    """Return for each job its key, its ratio, its threshold and ``ok``, ``slower`` or ``not measured``."""
    rows = []
    for key, limit in thresholds.items():
        measured = ratios.get(key)
        said = "not measured" if measured is None else "ok" if measured <= limit else "slower"
        rows.append((key, report.NOTHING if measured is None else f"{measured:.2f}", f"{limit:.2f}", said))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--update", action="store_true", help="write the measured ratios plus 10 %% as the new thresholds"
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="time for each library and job (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=3,
        help="number of rounds; the libraries take turns in each (default: %(default)s)",
    )
    arguments = parser.parse_args()
    thresholds = json.loads(THRESHOLDS.read_text(encoding="utf-8"))
    libraries = [runner.OURS, runner.PYTORCH[0]]
    results = runner.run(
        [JOBS[key] for key in thresholds],
        libraries,
        repeats=arguments.repeats,
        seconds=arguments.seconds,
        kernel="best",
        say=lambda text: print(f"\r{text:<60}", end="", file=sys.stderr, flush=True),
    )
    print(f"\r{'':<60}\r", end="", file=sys.stderr)
    (run,) = results["runs"]
    ratios = {job["key"]: report.ratio(job, "nnscratch", "torch") for job in run["jobs"]}
    rows = verdicts(ratios, thresholds)
    print(report.machine(run["machine"]) + "\n")
    print(report.table(["job", "time / PyTorch's time", "threshold", "verdict"], rows))
    for job in run["jobs"]:
        for key, result in job["results"].items():
            if "why" in result:
                print(f"({job['key']}) {key}: {result['why']}")
    if arguments.update:
        if None in ratios.values():
            print("the thresholds were not changed, because not every job was measured", file=sys.stderr)
            return 1
        new = {key: round(ratio * MARGIN, 2) for key, ratio in ratios.items()}
        THRESHOLDS.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
        return 0
    return 0 if all(row[-1] == "ok" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Search with Atheris for damaged files that a reader of the package does not refuse in the right way.

    python tests/endurance/fuzz_files.py --seconds 600             or: make SECONDS=600 fuzz-files
    python tests/endurance/fuzz_files.py --only idx bpe

Atheris changes a file, reads it, and keeps it if lines of the package ran that no earlier file reached. It changes kept
files again. `damaged_files` in ``tests/shared`` has the readers, the good files to begin with, the changes of JSON, and
what a reader must do. Here, a reader must also end within ten seconds, and take at most 256 MB.

For each reader, the program prints the number of files. A file with which a reader fails is written to this folder. It
works on Linux.

Reference: https://github.com/google/atheris, a fuzzer for Python on LLVM's libFuzzer.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))

LONGEST_FILE = 1 << 16  # bytes
MEMORY = 256 << 20  # bytes that a reader may take


def search(name: str, seconds: int, seed: int, folder: Path) -> None:
    """Search for a file with which one reader fails. Atheris ends the process."""
    import atheris

    with atheris.instrument_imports(include=["nnscratch", "json"]):
        from damaged_files import changed, readers
    reader, good = readers(folder)[name], folder / "good files"
    good.mkdir()
    for number, content in enumerate(reader.seeds):
        (good / str(number)).write_bytes(content)

    def change(content: bytes, longest: int, number: int) -> bytes:
        rng = random.Random(number)
        with contextlib.suppress(ValueError):
            made = changed(content, rng)
            if rng.random() < 0.5 and len(made) <= longest:
                return made
        return atheris.Mutate(content, longest)

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))
    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LONGEST_FILE}", "-timeout=10"]
    options += [f"-artifact_prefix=fuzz-{name}-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(good)], reader.check, custom_mutator=change)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=180, help="for each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the changes (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="READER", help="default: all")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # the process of one reader
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nnscratch-fuzz-") as folder:
        if arguments.one is not None:
            search(arguments.one, arguments.seconds, arguments.seed, Path(folder))
        from damaged_files import readers

        failed = 0
        for name in arguments.only or readers(Path(folder)):
            options = ["--seconds", str(arguments.seconds), "--seed", str(arguments.seed)]
            command = [sys.executable, __file__, "--one", name, *options]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            count = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
            failed += done.returncode != 0
            print(f"{name}: {count[-1] if count else 'no'} files, {'FAILED' if done.returncode else 'ok'}", flush=True)
            if done.returncode:
                print(done.stdout[-3000:], done.stderr[-3000:], sep="\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The libraries that we are measured beside; each module has ``build(job, variant)``, see nnscratch/bench/worker.py."""

from pathlib import Path

from nnscratch.bench.runner import OURS, PYTORCH

ROOT = Path(__file__).parents[2]
LIBRARIES = [OURS, *PYTORCH]

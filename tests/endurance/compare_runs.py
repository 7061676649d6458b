"""Compare two finished runs of training bit for bit."""

from pathlib import Path

from nnscratch.serialization import read_arrays
from nnscratch.training.checkpoint import FILE


def step_of(folder: Path) -> int:
    """Return the step of the checkpoint in `folder`, or 0 if there is none. Raise ValueError if it is damaged."""
    return read_arrays(folder / FILE)[1]["step"] if (folder / FILE).exists() else 0


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of the arrays that differ: weights, moments of the optimizer, states, losses of all steps.

    The best weights, in ``model.safetensors``, are compared byte by byte.
    """
    arrays, others = (read_arrays(folder / FILE)[0] for folder in (one, other))
    found = sorted(arrays.keys() ^ others.keys())
    found += [name for name in arrays.keys() & others.keys() if arrays[name].tobytes() != others[name].tobytes()]
    best = [(folder / "model.safetensors").read_bytes() for folder in (one, other)]
    return found + ["model.safetensors"] * (best[0] != best[1])

"""Run each test of this folder on the strict stand-in for CuPy and, if there is one, on a GPU."""

import os
from importlib.util import find_spec

import numpy as np
import pytest
import strict_cupy

from nnscratch import backend


def why_no_gpu():
    """Return None if CuPy can use a GPU, or the reason why not."""
    if find_spec("cupy") is None:
        return "CuPy is not installed"
    try:
        backend.module_for("cuda")
    except RuntimeError as error:
        return str(error)
    return None


@pytest.fixture(params=["stand-in", pytest.param("GPU", marks=pytest.mark.gpu)])
def on_cuda(request):
    """Make the device "cuda" available. on_cuda(nest) moves all arrays in nested tuples to it."""
    if request.param == "GPU":
        reason = why_no_gpu()
        if reason is not None:
            (pytest.fail if os.environ.get("NNSCRATCH_REQUIRE_GPU") else pytest.skip)(reason)
        yield moved_to("cuda")
    else:
        with strict_cupy.installed():
            yield moved_to("cuda")


@pytest.fixture
def on_cpu():
    """Provide on_cpu(nest), which copies all arrays in nested tuples to the CPU."""
    return moved_to("cpu")


def moved_to(device):
    def move(nest):
        if isinstance(nest, tuple):
            return tuple(move(inner) for inner in nest)
        return nest if nest is None or isinstance(nest, (int, float)) else backend.to_device(nest, device)

    return move


@pytest.fixture
def rng():
    return np.random.default_rng(0)

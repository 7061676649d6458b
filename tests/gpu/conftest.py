"""Where the tests of this folder run: each of them on the strict stand-in for CuPy, and on a GPU where there is one."""

import os
from importlib.util import find_spec

import numpy as np
import pytest
import strict_cupy

from nnscratch import backend


def why_no_gpu():
    """None if there is a GPU that CuPy can use, else what is missing."""
    if find_spec("cupy") is None:
        return "CuPy is not installed"
    try:
        backend.module_for("cuda")
    except RuntimeError as error:
        return str(error)
    return None


@pytest.fixture(params=["stand-in", pytest.param("GPU", marks=pytest.mark.gpu)])
def on_cuda(request):
    """Makes the device "cuda" there. on_cuda(nest) moves all arrays in a nest of tuples to it."""
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
    """on_cpu(nest) copies all arrays in a nest of tuples to the CPU."""
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

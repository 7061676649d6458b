"""Settings for all tests, and shared fixtures."""

import gc
import os
import tempfile

import numpy as np
import pytest
from hypothesis import settings

# A slow machine must not fail a test. Each run draws other examples, so 50 of them are enough for one run.
settings.register_profile("nnscratch", deadline=None, max_examples=50)
settings.load_profile("nnscratch")


def pytest_configure(config):
    """Let each process of ``pytest -n`` use one core: the waiting threads of OpenBLAS slow down their neighbours."""
    if getattr(config.option, "numprocesses", None):
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(name, "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect the tests without Python's garbage collector, which would search ten thousand tests for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


# The files of make test-thorough that take longest, in the order in which they start. If one of them started last, one
# process of pytest -n would wait for it.
FIRST = ["test_assignments", "test_notebooks", "test_together", "test_endurance"]


def pytest_collection_modifyitems(items):
    """Skip the tests that take long, unless NNSCRATCH_THOROUGH is set, as in make test-thorough. Sort by FIRST."""
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))
    if os.environ.get("NNSCRATCH_THOROUGH"):
        return
    for item in items:
        if item.get_closest_marker("thorough"):
            item.add_marker(pytest.mark.skip(reason="takes long: make test-thorough"))


@pytest.fixture(scope="session", autouse=True)
def temporary_files_in_the_folder_of_pytest(tmp_path_factory):
    """Create the folders of ``tempfile`` in pytest's own folder, of which pytest keeps only the latest three runs."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("tempfile"))
    yield
    tempfile.tempdir = before


@pytest.fixture
def numerical():
    """Provide numerical(f, x, eps): dL/dx of L = f() by central differences. x is changed in place and restored."""

    def gradient_of(f, x, eps=1e-5):
        gradient = np.empty_like(x)
        for k in np.ndindex(x.shape):
            old, values = x[k], []
            for step in (eps, -eps):
                x[k] = old + step
                values.append(f())
            x[k] = old
            gradient[k] = (values[0] - values[1]) / (2 * eps)
        return gradient

    return gradient_of

"""The backend: which library, which device, which generator."""

import os
import platform
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnscratch import backend

without_cupy = pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is installed here")


def test_a_numpy_array_is_numpys_and_on_the_cpu():
    x = np.ones(3)
    assert backend.array_module(x) is np
    assert backend.device_of(x) == "cpu"
    assert backend.to_numpy(x) is x
    assert backend.to_device(x, "cpu") is x
    assert backend.module_for("cpu") is np


@pytest.mark.parametrize("value", [[1.0], (1.0,), 1.0, 1, np.float64(1)])
def test_a_number_or_a_list_is_refused_with_the_way_out(value):
    message = rf"expected a NumPy or CuPy array, got {type(value).__name__}; use numpy.asarray\(x\)"
    with pytest.raises(TypeError, match=message):
        backend.array_module(value)


def test_what_is_no_array_at_all_is_refused():
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got str$"):
        backend.array_module("x")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:²", "CPU", ""])
def test_an_unknown_device_is_refused_by_name(device):
    with pytest.raises(ValueError, match=f'device must be "cpu", "cuda" or "cuda:N", got {device!r}'):
        backend.to_device(np.ones(1), device)


@without_cupy
def test_a_gpu_without_cupy_says_what_to_install():
    with pytest.raises(RuntimeError, match=r"device 'cuda' needs CuPy.*pip install 'nnscratch\[cuda12\]'"):
        backend.to_device(np.ones(1), "cuda")


@without_cupy
def test_nothing_imports_cupy_on_a_machine_without_it():
    assert "cupy" not in sys.modules


def test_rng_may_be_nothing_a_seed_or_a_generator():
    assert backend.generator(3).random() == backend.generator(np.int64(3)).random() == np.random.default_rng(3).random()
    assert backend.generator(None).random() != backend.generator(None).random()
    given_ = np.random.default_rng(0)
    assert backend.generator(given_) is given_


@pytest.mark.parametrize("rng", [-1, 1.5, True, "0", np.random.RandomState(0)])
def test_what_else_comes_as_rng_is_refused(rng):
    with pytest.raises(TypeError, match="rng must be None, an int of 0 or more, or a numpy.random.Generator, got"):
        backend.generator(rng)


@given(st.lists(st.integers(0, 3), max_size=10))
def test_scatter_add_adds_every_row_also_those_that_go_to_the_same_place(index):
    values = np.random.default_rng(0).normal(size=(len(index), 2))
    target = np.ones((4, 2))
    backend.scatter_add(target, np.array(index, dtype=int), values)
    expected = np.ones((4, 2))
    for place, row in zip(index, values, strict=True):
        expected[place] += row
    np.testing.assert_allclose(target, expected, rtol=1e-12)


def test_a_workspace_hands_out_again_what_was_given_back():
    workspace, like = backend.Workspace(), np.ones(1, np.float32)
    a, b = workspace.take(like, (2, 3), (4,))
    assert a.shape == (2, 3) and b.shape == (4,) and a.dtype == b.dtype == np.float32
    workspace.give(a, b)
    again_a, again_b = workspace.take(like, (2, 3), (4,))
    assert again_a is a and again_b is b


def test_a_workspace_never_hands_out_the_same_array_twice_at_a_time():
    workspace, like = backend.Workspace(), np.ones(1)
    (a,) = workspace.take(like, (3,))
    (b,) = workspace.take(like, (3,))
    assert a is not b
    workspace.give(a)
    (c,) = workspace.take(like, (3,))
    (d,) = workspace.take(like, (3,))
    assert c is a and d is not a and d is not b


def test_a_workspace_tells_shapes_and_dtypes_apart():
    workspace, like = backend.Workspace(), np.ones(1)
    (a,) = workspace.take(like, (3,))
    workspace.give(a)
    (b,) = workspace.take(like.astype(np.float32), (3,))
    assert b.dtype == np.float32
    assert workspace.take(like, (5,))[0].shape == (5,)
    assert workspace.take(like, (3,))[0] is a


def test_a_workspace_forgets_all_but_the_latest_few_sets_of_shapes():
    workspace, like = backend.Workspace(), np.ones(1)
    handed_out = [workspace.take(like, (size,))[0] for size in range(1, workspace.KEPT + 2)]
    for array in handed_out:
        workspace.give(array)
    *_, latest = handed_out
    assert workspace.take(like, latest.shape)[0] is latest
    assert workspace.take(like, (1,))[0] is not handed_out[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_in_threads_runs_every_task_once_and_an_error_comes_out_after_all_have_ended(monkeypatch, threads):
    monkeypatch.setattr(backend.threads, "num_threads", lambda: threads)
    backend.threads._pool.cache_clear()
    out = np.zeros((9, 4))
    backend.parallel_for(lambda row, k: np.add(row, k, out=row), [(out[k], k) for k in range(9)])
    np.testing.assert_array_equal(out, np.arange(9)[:, None] * np.ones(4))

    done = []

    def fails_first(row, k):
        if k == 0:
            raise ZeroDivisionError
        done.append(k)

    with pytest.raises(ZeroDivisionError):
        backend.parallel_for(fails_first, [(out[k], k) for k in range(8)])
    assert sorted(done) == (list(range(1, 8)) if threads == 2 else [])  # the other thread has finished
    backend.threads._pool.cache_clear()


COUNT_FAULTS = """
import resource, numpy as np
from nnscratch import backend

def faults():  # in twenty rounds that create and free four arrays of 3.2 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        arrays = [np.ones(400_000) for _ in range(4)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), backend.keep_freed_memory(), faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is the GNU C library's setting")
def test_memory_that_was_freed_is_not_fetched_again_once_it_is_to_be_kept():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    def count(**more):
        call = [sys.executable, "-c", COUNT_FAULTS]
        return subprocess.run(call, env=environment | more, capture_output=True, text=True, check=True).stdout.split()

    before, asked, _, after = count()
    assert asked == "True" and int(after) < 100 < int(before)
    assert count(MALLOC_TRIM_THRESHOLD_="100000")[1] == "False"  # a value set by the user is kept


@pytest.mark.parametrize("device", ["cpu", 3, None, "cuda:x"])
def test_the_memory_of_what_is_no_gpu_is_refused_by_name(device):
    for function in (backend.memory, backend.free_memory):
        with pytest.raises(ValueError, match="device must be"):
            function(device)

"""The stand-in is strict: it fails where a GPU would fail, and counts copies and waits."""

import __future__

import contextlib
import copy
import re
from pathlib import Path

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch import backend


@pytest.fixture
def cp():
    with strict_cupy.installed() as cupy:
        yield cupy


@pytest.fixture
def x(cp):
    return cp.asarray(np.arange(6.0).reshape(2, 3))


class WithNumpy(nn.Module):
    """A layer that was written only for the CPU."""

    def __init__(self, forward):
        self.compute = forward

    def forward(self, x):
        return self.compute(x)


@pytest.mark.parametrize(
    "forward",
    [
        np.tanh,
        np.sum,
        lambda x: np.maximum(x, 0),
        lambda x: np.concatenate([x, x]),
        lambda x: np.where(x > 0, x, 0),
        lambda x: x * np.ones(3),
        lambda x: np.ones(3) * x,
        lambda x: x @ np.ones((3, 2)),
        lambda x: np.ones((2, 2)) @ x,
        lambda x: x[np.array([0, 1])],
        lambda x: x[[0, 1]],
        lambda x: np.exp(x, out=x),
        lambda x: np.asarray(x),
        lambda x: np.zeros(6) + x.sum(),
        lambda x: [v for v in np.nditer(x)],
    ],
)
def test_a_forgotten_np_in_a_layer_is_an_error(forward, x):
    layer = WithNumpy(forward)
    with pytest.raises(TypeError):
        layer(x)


def test_numpys_arrays_cannot_be_written_into_one(x):
    with pytest.raises(TypeError, match="Unsupported type <class 'numpy.ndarray'>"):
        x[...] = np.zeros((2, 3))
    with pytest.raises(TypeError, match="Unsupported type <class 'numpy.ndarray'>"):
        x += np.zeros((2, 3))


def test_numpys_single_numbers_may_be_mixed_in(x):
    assert ((x * np.float64(2)).get() == x.get() * 2).all()
    assert ((np.float64(2) * x).get() == x.get() * 2).all()


def test_what_cupy_lacks_is_not_there(cp, x):
    with pytest.raises(AttributeError, match="has no attribute 'einsum_path'"):
        cp.einsum_path  # noqa: B018
    with pytest.raises(AttributeError, match="cupy.ndarray has no attribute 'setflags'"):
        x.setflags  # noqa: B018
    for name in ("__index__", "ctypes", "__array_interface__", "flat"):
        assert not hasattr(x, name), name
    with pytest.raises(AttributeError):
        x.shape = 6
    with pytest.raises(TypeError, match="CuPy's sum takes axis, dtype, out, keepdims"):
        x.sum(where=x > 0)
    with pytest.raises(TypeError, match="CuPy's tanh takes out, dtype, casting"):
        cp.tanh(x, order="F")
    with pytest.raises(NotImplementedError):
        cp.multiply.at(x, cp.asarray([0]), 2.0)


def test_flags_are_cupys_and_say_nothing_of_being_writeable(x):
    flags = x.T.flags
    assert (flags.c_contiguous, flags.f_contiguous, flags.forc, flags.owndata) == (False, True, True, False)
    assert flags["F_CONTIGUOUS"] and not hasattr(flags, "writeable") and not hasattr(flags, "contiguous")
    with pytest.raises(KeyError, match="WRITEABLE"):
        flags["WRITEABLE"]


def test_a_copied_array_has_its_own_memory(x):
    for y in (copy.copy(x), copy.deepcopy(x)):
        y.fill(0)
        assert x.get().any()


def test_a_reduction_returns_an_array_without_axes(x):
    assert isinstance(x.sum(), strict_cupy.ndarray) and x.sum().shape == ()


def test_what_is_in_an_empty_array_is_neither_zero_nor_nan(cp, x):
    assert (cp.empty((2, 3)) == 12345).all() and (cp.empty_like(x) == 12345).all()


def test_results_are_in_c_order_whatever_went_in(x):
    assert (x.T + x.T).flags.c_contiguous


def test_writing_twice_to_one_place_is_an_error_because_the_winner_is_undefined(cp, x):
    with pytest.raises(ValueError, match="writes twice to one place"):
        x[cp.asarray([0, 0])] = 1.0
    x[cp.asarray([1, 0])] = 1.0


@pytest.mark.parametrize(
    "look",
    [lambda x: float(x.sum()), lambda x: int(x[0, 0]), lambda x: bool((x > 0).any()), lambda x: x[0, 1].item(),
     lambda x: x.get(), lambda x: x[x > 0], lambda x: str(x), lambda x: [float(v) for v in x[0, :1]]],
)  # fmt: skip
def test_waiting_for_the_gpu_is_counted(look, x):
    with strict_cupy.counted() as counts:
        look(x)
    assert counts.waits == 1


@pytest.mark.parametrize(
    ("product", "launches"),
    [
        (lambda cp, a: cp.matmul(a, a, out=cp.empty((4, 4))), 1),
        (lambda cp, a: cp.matmul(a.T, a.T, out=cp.empty((4, 4))), 1),
        (lambda cp, a: a @ a[0], 1),
        (lambda cp, a: a[0] @ a[0], 2),
        (lambda cp, a: cp.matmul(a[:2, :2], a[:2], out=cp.empty((2, 4))), 2),  # the first is in neither order
        (lambda cp, a: cp.matmul(a, a[:, :2], out=cp.empty((4, 2))), 2),
        (lambda cp, a: cp.matmul(a, a, out=cp.empty((4, 5))[:, :4]), 2),
        (lambda cp, a: cp.matmul(a, a, out=a), 2),
        (lambda cp, a: a.reshape(2, 2, 4) @ a.reshape(2, 4, 2), 1),
        (lambda cp, a: a.reshape(2, 2, 4) @ a.reshape(2, 2, 4).swapaxes(1, 2), 2),
        (lambda cp, a: a.reshape(2, 2, 4) @ a[0], 4),  # three tables of addresses
        (lambda cp, a: a.reshape(1, 2, 2, 4) @ a[0], 7),
        (lambda cp, a: a.T.reshape(-1), 1),
        (lambda cp, a: a.reshape(2, 8), 0),
        (lambda cp, a: cp.ascontiguousarray(a.T), 1),
        (lambda cp, a: cp.ascontiguousarray(a), 0),
        (lambda cp, a: a.astype(a.dtype, copy=False), 0),
        (lambda cp, a: a.astype(a.dtype), 1),
        (lambda cp, a: a.__setitem__(slice(2), a[:2]), 0),  # the end of a[:2] += 1
        (lambda cp, a: a.__setitem__(slice(2), a[2:]), 1),
    ],
)
def test_copies_that_the_memory_order_costs_are_counted(product, launches, cp):
    a = cp.asarray(np.ones((4, 4)))
    with strict_cupy.counted() as counts:
        product(cp, a)
    assert counts.launches == launches


def test_computing_does_not_wait(cp, x):
    with strict_cupy.counted() as counts:
        cp.exp(x @ x.T).sum(axis=1)
    assert (counts.waits, counts.copies, counts.launches) == (0, 0, 3)


def test_copies_to_the_gpu_are_counted(cp, x):
    with strict_cupy.counted() as counts:
        cp.asarray(np.ones(2))
        cp.asarray([1.0])
        cp.asarray(x)
    assert counts.copies == 2


def test_views_share_memory_and_know_whose_they_are(x):
    row = x[0]
    row += 10
    assert x.get()[0, 0] == 10 and row.base is x and x.base is None
    assert x.astype(np.float64, copy=False) is x


def test_a_kernel_is_compiled_and_run(cp, x):
    kernel = cp.ElementwiseKernel("T x, T a", "T y, T z", "y = a * x; z += tanh(y)", "scaled")
    y, z = cp.empty_like(x), cp.ones(x.shape)
    kernel(x, 2.0, y, z)
    np.testing.assert_array_equal(y.get(), 2 * x.get())
    np.testing.assert_allclose(z.get(), 1 + np.tanh(2 * x.get()), rtol=1e-14)
    kernel(x.T, 3, y.T, z.T)  # arrays with any strides
    np.testing.assert_array_equal(y.get(), 3 * x.get())


def test_a_kernel_refuses_what_cupys_would(cp, x):
    kernel = cp.ElementwiseKernel("T x", "T y", "y = x", "same")
    with pytest.raises(TypeError, match="Unsupported type <class 'numpy.ndarray'>"):
        kernel(np.ones(2), cp.ones(2))
    with pytest.raises(TypeError, match="y must be float64, got float32"):
        kernel(x, cp.ones(x.shape, dtype=np.float32))
    with pytest.raises(ValueError, match="out shape is mismatched"):
        kernel(x, cp.ones(3))
    with pytest.raises(ValueError, match="Can not use 'i' as a parameter name"):
        cp.ElementwiseKernel("T i", "T y", "y = i", "same")


def test_the_package_takes_it_for_cupy(cp, x):
    assert backend.array_module(x) is cp
    assert backend.device_of(x) == "cuda"
    assert isinstance(backend.to_device(np.ones(2), "cuda"), strict_cupy.ndarray)
    assert isinstance(backend.to_numpy(x), np.ndarray)
    with pytest.raises(RuntimeError, match="device 'cuda:1' does not exist: this machine has 1 GPU"):
        backend.to_device(np.ones(2), "cuda:1")


@pytest.mark.parametrize(
    ("file", "build", "shape"),
    [
        ("relu", "ReLU()", (2, 3)),
        ("tanh", "Tanh()", (2, 3)),
        ("gelu", 'GELU("tanh")', (2, 3)),
        ("lstm_cell", "LSTMCell(3, 4).to('cuda', dtype=np.float64)", (2, 3)),
        ("conv2d", "Conv2d(1, 2, 2).to('cuda', dtype=np.float64)", (1, 1, 4, 4)),
        ("max_pool2d", "MaxPool2d(2)", (1, 1, 4, 4)),
    ],
)
def test_a_layer_of_the_package_fails_as_soon_as_its_xp_is_planted_with_np(file, build, shape, cp):
    source = (Path(nn.__file__).parent / "layers" / f"{file}.py").read_text()
    planted = re.sub(r"(backend\.array_module\(\w+\)|\bxp)\.(?=\w+\()", "np.", source)
    assert planted != source
    x = cp.asarray(np.random.default_rng(0).normal(size=shape))
    for text, fails in ((source, False), (planted, True)):
        names = {"__name__": f"nnscratch.layers.{file}", "__package__": "nnscratch.layers", "np": np}
        exec(compile(text, file, "exec", flags=__future__.annotations.compiler_flag), names)
        layer = eval(build, names)
        with pytest.raises((TypeError, AttributeError)) if fails else contextlib.nullcontext():
            y = layer(x)
            dy = tuple(cp.ones_like(part) for part in y) if isinstance(y, tuple) else cp.ones_like(y)
            layer.backward(*dy) if isinstance(dy, tuple) else layer.backward(dy)


CODE = """
typedef double T;
extern "C" __global__ void __launch_bounds__(64) scaled(const long long n, const T a, const float *x, T *y) {
    const long long k = blockIdx.x * blockDim.x + threadIdx.x;
    for (long long i = k; i < n; i += 2 * blockDim.x) y[i] = a * x[i];
}"""


def test_a_raw_kernel_is_compiled_and_runs_every_thread_of_every_block(cp):
    x, y = cp.arange(1000, dtype=np.float32), cp.zeros(1000)
    for threads in (1, 64):
        y.fill(0)
        with strict_cupy.whole_blocks() if threads > 1 else contextlib.nullcontext(), strict_cupy.counted() as counts:
            cp.RawKernel(CODE, "scaled")((2,), (64,), (np.int64(1000), np.float64(0.5), x, y))
        assert counts == strict_cupy.Counts(launches=1)
        np.testing.assert_array_equal(y.get(), np.arange(1000) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1000}, "n must be a number of int64, got 1000"),
        ({"a": np.float32(1)}, "a must be a number of float64"),
        ({"x": np.ones(2, np.float32)}, "x must be an array of float32"),
        ({"x": "y"}, "x must be an array of float32"),
        ({"y": None}, "got 3 arguments; it takes 4"),
    ],
    ids=str,
)
def test_a_raw_kernel_refuses_what_a_gpu_would_take_as_it_is(change, message, cp):
    args = {"n": np.int64(2), "a": np.float64(1), "x": cp.ones(2, np.float32), "y": cp.ones(2)}
    args |= {k: args.get(v, v) if isinstance(v, str) else v for k, v in change.items()}
    with pytest.raises(TypeError, match=message):
        cp.RawKernel(CODE, "scaled")((1,), (1,), tuple(a for a in args.values() if a is not None))


@pytest.mark.parametrize(("blocks", "threads"), [(0, 1), (1, 0), (1, 65), (1 << 31, 1)])
def test_a_raw_kernel_refuses_blocks_that_a_gpu_cannot_start(blocks, threads, cp):
    args = np.int64(2), np.float64(1), cp.ones(2, np.float32), cp.ones(2)
    with pytest.raises(strict_cupy.CUDARuntimeError, match=f"cannot launch {blocks} blocks of {threads} threads"):
        cp.RawKernel(CODE, "scaled")((blocks,), (threads,), args)


def test_a_raw_kernel_needs_its_code(cp):
    with pytest.raises(ValueError, match="other: the code has no such kernel"):
        cp.RawKernel(CODE, "other")

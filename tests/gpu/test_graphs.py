"""Recurrent layers as CUDA graphs: the same numbers as without graphs, on the stand-in and on a GPU."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch import backend
from nnscratch.backend import graphs
from nnscratch.layers import gru, lstm, rnn

LAYERS = {
    "LSTM": lambda: nn.LSTM(3, 4, 2, rng=1),
    "GRU": lambda: nn.GRU(3, 4, 2, rng=1),
    "RNN": lambda: nn.RNN(3, 4, 2, rng=1),
    "ReLU": lambda: nn.RNN(3, 4, nonlinearity="relu", rng=1),
    "both directions": lambda: nn.LSTM(3, 4, 2, bidirectional=True, rng=1),
    "dropout": lambda: nn.GRU(3, 4, 2, dropout=0.4, rng=1),
}
LOOPS = [f for layer in (lstm, gru) for f in (layer.run_forward, layer.run_backward)]
products_of = graphs.products_of  # the stand-in replaces it while it is installed
LOOPS += [*rnn.RUN_FORWARD.values(), *rnn.RUN_BACKWARD.values()]


@pytest.fixture(autouse=True)
def no_graphs_yet():
    for loop in LOOPS:
        loop.graphs.graphs.clear()
    yield
    backend.allow_graphs(True)


def count_graphs():
    return sum(graph is not None for loop in LOOPS for graph in loop.graphs.graphs.values())


def five_steps(layer, x, dy, lengths=None):
    """Return the outputs and all gradients of five steps. Each step changes the weights."""
    found = []
    for k in range(5):
        y, _ = layer(x * (k + 1), lengths=lengths)
        dx, _ = layer.backward(dy)
        found += [y.copy(), dx.copy(), *(p.grad.copy() for p in layer.parameters())]
        for p in layer.parameters():
            p.data -= 0.1 * p.grad
        layer.zero_grad()
    return [backend.to_numpy(a) for a in found]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [None, [5, 2]])
@pytest.mark.parametrize("name", LAYERS)
def test_graphs_compute_the_same(on_cuda, rng, name, lengths, dtype):
    results = []
    for on in (False, True):
        backend.allow_graphs(on)
        layer, values = LAYERS[name]().to("cuda", dtype=dtype), np.random.default_rng(0)
        x, width = on_cuda(values.normal(size=(2, 5, 3)).astype(dtype)), layer.hidden_size * (1 + layer.bidirectional)
        results.append(five_steps(layer, x, on_cuda(values.normal(size=(2, 5, width)).astype(dtype)), lengths))
        if not on:
            assert count_graphs() == 0
    assert count_graphs() >= 2  # at least forward and backward
    for without, with_graphs in zip(*results, strict=True):
        np.testing.assert_allclose(with_graphs, without, rtol=1e-4 if dtype == np.float32 else 1e-10, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_model_trains_the_same(on_cuda, cell):
    histories = []
    for on in (False, True):
        backend.allow_graphs(on)
        model = nn.models.LanguageModel(7, 6, 8, 2, dropout=0.2, cell=cell, rng=1).to("cuda")
        trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.01), max_norm=1.0)
        text = nn.data.TextBatches(np.random.default_rng(0).integers(0, 7, 400), batch_size=4, seq_len=10)
        histories.append(trainer.fit(text, text, steps=25).loss)
    assert count_graphs() >= 4  # two layers, forward and backward
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)


def test_arrays_at_other_addresses_get_a_graph_of_their_own(on_cuda, rng):
    layer = nn.GRU(3, 4, rng=1).to("cuda")
    on_the_cpu = nn.GRU(3, 4, rng=1)
    for N in (2, 3, 2, 3, 2, 3, 1, 1, 1):
        x = rng.normal(size=(N, 5, 3)).astype(np.float32)
        y, _ = layer(on_cuda(x))
        expected, _ = on_the_cpu(x)
        np.testing.assert_allclose(backend.to_numpy(y), expected, rtol=1e-4, atol=1e-6)
        dx, _ = layer.backward(y)
        np.testing.assert_allclose(backend.to_numpy(dx), on_the_cpu.backward(expected)[0], rtol=1e-4, atol=1e-6)


def test_the_number_of_launches_does_not_depend_on_the_number_of_steps():
    launches = []
    for steps in (10, 20):
        with strict_cupy.installed() as cp:
            layer, x = nn.LSTM(3, 4, rng=1).to("cuda"), cp.ones((2, steps, 3), dtype=np.float32)
            for _ in range(4):
                with strict_cupy.counted() as counts:
                    layer.backward(cp.ones_like(layer(x)[0]))
            launches.append(counts.launches)
    assert launches[0] == launches[1]


@backend.fused("T by", "T x", "x += by;")
def increase(by, x):
    x += by


def recorded_increase():
    return backend.recorded(lambda matmul, x: increase(1, x))


def test_a_graph_belongs_to_one_address_shape_distance_in_memory_and_dtype():
    views = [
        lambda x: x[:4],
        lambda x: x[:2],
        lambda x: x[4:],
        lambda x: x[::2],
        lambda x: x.view(np.float32)[:8:2],  # its shape and distance in memory are those of x[:4]
        lambda x: x[:4].reshape(2, 2),
    ]
    expected, loop = np.arange(8.0), recorded_increase()
    with strict_cupy.installed() as cp:
        x = cp.arange(8.0)
        for view in views * 2:
            for _ in range(3):
                loop(view(x))
                part = view(expected)
                part += 1
                np.testing.assert_array_equal(x.get(), expected)
    assert len(loop.graphs.graphs) == len(views) and all(loop.graphs.graphs.values())


def test_a_graph_belongs_to_one_stream(monkeypatch):
    loop = recorded_increase()
    with strict_cupy.installed() as cp:
        x = cp.zeros(2)
        loop(x), loop(x)
        monkeypatch.setattr(cp.cuda, "get_current_stream", lambda: SimpleNamespace(ptr=strict_cupy.STREAM + 1))
        loop(x)
        assert x.get().tolist() == [3, 3]
    assert [graph is not None for graph in loop.graphs.graphs.values()] == [True, False]


def test_a_graph_is_not_started_under_a_condition_because_it_would_read_the_old_one():
    loop = recorded_increase()
    with strict_cupy.installed() as cp:
        x = cp.zeros(2)
        for go in (1, 1, 0, 1, 0):
            with backend.only_if(cp.full(1, go, dtype=np.int32)):
                loop(x)
        assert x.get().tolist() == [3, 3] and not loop.graphs.graphs
        loop(x), loop(x)
        with backend.only_if(cp.zeros(1, dtype=np.int32)):
            loop(x)
        assert x.get().tolist() == [5, 5]


def test_only_float32_and_float64_have_graphs():  # Products has no function of cuBLAS for other dtypes
    loop = recorded_increase()
    with strict_cupy.installed() as cp:
        x = cp.zeros(2, dtype=np.int64)
        loop(x), loop(x)
        assert x.get().tolist() == [2, 2]
    assert not loop.graphs.graphs


def test_an_interrupt_ends_the_recording(monkeypatch):
    interrupted = []

    @backend.recorded
    def loop(matmul, x):
        increase(1, x)
        interrupted.append(strict_cupy.Stream.recording is not None)
        if interrupted == [False, True]:
            raise KeyboardInterrupt

    with strict_cupy.installed() as cp:
        x = cp.zeros(2)
        loop(x)
        with pytest.raises(KeyboardInterrupt):
            loop(x)
        assert x.get().tolist() == [1, 1]
        for _ in range(3):
            loop(x)
        assert x.get().tolist() == [4, 4]
    assert interrupted == [False, True, False, True]  # the last call started the graph


@pytest.mark.parametrize("on", [1, None, "no"])
def test_graphs_are_on_or_off(on):
    with pytest.raises(TypeError, match="on must be True or False, got"):
        backend.allow_graphs(on)


def test_in_every_step_each_layer_and_direction_gets_the_same_buffers():
    with strict_cupy.installed() as cp:
        layer, x = nn.LSTM(3, 4, 2, bidirectional=True, rng=1).to("cuda"), cp.ones((2, 5, 3), dtype=np.float32)
        for _ in range(4):
            layer.backward(layer(x, lengths=[5, 2])[0])
    for loop in (lstm.run_forward, lstm.run_backward):
        kept = list(loop.graphs.graphs.values())
        assert len(kept) == 2 * 2 * 2 and all(kept)  # layers, directions, segments


def test_old_graphs_are_forgotten(monkeypatch):
    monkeypatch.setattr(graphs.Graphs, "KEPT", 3)
    with strict_cupy.installed() as cp:
        layer = nn.RNN(3, 4, rng=1).to("cuda")
        for N in range(1, 8):
            layer(cp.ones((N, 2, 3), dtype=np.float32))
    assert len(rnn.RUN_FORWARD["tanh"].graphs.graphs) == 3


def test_the_graph_that_was_used_last_is_kept_longest(monkeypatch):
    monkeypatch.setattr(graphs.Graphs, "KEPT", 2)
    loop = recorded_increase()
    with strict_cupy.installed() as cp:
        x = cp.zeros(4)
        for size in (1, 1, 2, 1, 3):
            loop(x[:size])
        assert x.get().tolist() == [5, 2, 1, 0]
    assert [graph is not None for graph in loop.graphs.graphs.values()] == [True, False]


def test_if_recording_fails_the_loop_runs_without_a_graph(monkeypatch):
    def refused(self, a, b, out, matmul=strict_cupy.Products.matmul):
        if strict_cupy.Stream.recording is not None:
            raise RuntimeError("cuBLAS returned the status 14")
        matmul(self, a, b, out)

    monkeypatch.setattr(strict_cupy.Products, "matmul", refused)
    on_the_cpu = nn.LSTM(3, 4, rng=1)(np.ones((2, 5, 3), dtype=np.float32))[0]
    with strict_cupy.installed() as cp:
        layer = nn.LSTM(3, 4, rng=1).to("cuda").eval()
        layer(cp.ones((2, 5, 3), dtype=np.float32))
        with pytest.warns(RuntimeWarning, match="CUDA graphs are off.*status 14"):
            y, _ = layer(cp.ones((2, 5, 3), dtype=np.float32))
        np.testing.assert_allclose(y.get(), on_the_cpu, rtol=1e-5)
        y, _ = layer(cp.ones((2, 5, 3), dtype=np.float32))  # no further warning
        np.testing.assert_allclose(y.get(), on_the_cpu, rtol=1e-5)
    assert count_graphs() == 0


def test_without_cublas_there_are_no_graphs():
    class Cupy:
        class cuda:
            class runtime:
                runtimeGetVersion = staticmethod(lambda: 99000)  # of no existing library

            Device = strict_cupy.Device

    assert graphs.products_of(Cupy, 0, 0) is None


@pytest.mark.parametrize("error", [MemoryError("out of memory"), RuntimeError("cuBLAS returned the status 3")])
def test_if_the_memory_of_the_gpu_is_full_there_are_no_graphs(error, monkeypatch):
    def refused(*args):
        raise error

    monkeypatch.setattr(graphs.ctypes, "CDLL", lambda name: FakeCublas())
    monkeypatch.setattr(graphs, "Products", refused)
    with strict_cupy.installed() as cp:
        pass
    assert graphs.products_of(cp, 0, 77) is None
    graphs.products_of.cache_clear()


@pytest.mark.parametrize(("setting", "math_modes"), [("0", []), ("1", [graphs.TF32_TENSOR_OP_MATH])])
def test_products_belong_to_one_gpu_and_have_memory_and_precision(setting, math_modes, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", setting)
    calls, entered = [], []

    class Library:
        def __getattr__(self, name):
            return lambda *args: calls.append((name.removeprefix("cublas").removesuffix("_v2"), *args[1:])) or 0

    class OneDevice(strict_cupy.Device):
        def __enter__(self):
            entered.append(self.id)

    monkeypatch.setattr(graphs.ctypes, "CDLL", lambda name: Library())
    with strict_cupy.installed() as cp:
        monkeypatch.setattr(cp.cuda, "Device", OneDevice)
        monkeypatch.setattr(
            cp.cuda, "Stream", lambda non_blocking: SimpleNamespace(ptr=12 if non_blocking else 0), False
        )
        products = products_of(cp, 3, 5)
    products.use(products.stream.ptr)
    create, *modes, stream, memory, product, recording, again = calls
    assert entered == [3] and create == ("Create",) and stream[0] == "SetStream" and stream[1].value == 5
    assert memory[0] == "SetWorkspace" and memory[1].value == products.workspace.data.ptr
    assert memory[2].value == products.workspace.size == graphs.WORKSPACE
    assert modes == [("SetMathMode", mode) for mode in math_modes]
    assert product[0] == "Sgemm" and recording[1].value == 12 and again[0] == "SetWorkspace"
    products_of.cache_clear()


def test_a_failure_of_cublas_is_an_error():
    graphs.check(0)
    with pytest.raises(RuntimeError, match="cuBLAS returned the status 13"):
        graphs.check(13)


class FakeCublas:
    """cuBLAS's product in NumPy. Matrices are stored column by column, and the arguments are checked as cuBLAS does."""

    def product(self, dtype, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
        a = self.at(A, dtype, (m, k), transa, lda)
        b = self.at(B, dtype, (k, n), transb, ldb)
        if a is None or b is None or ldc < max(1, m):
            return 7  # CUBLAS_STATUS_INVALID_VALUE
        c = self.at(C, dtype, (m, n), 0, ldc)
        c[...] = alpha._obj.value * (a @ b) + beta._obj.value * (0 if beta._obj.value == 0 else c)
        return 0

    @staticmethod
    def at(address, dtype, shape, transposed, ld):
        rows, columns = shape[::-1] if transposed else shape
        if ld < max(1, rows):
            return None
        memory = (ctypes.c_byte * (((columns - 1) * ld + rows) * dtype.itemsize)).from_address(address.value)
        size = dtype.itemsize
        a = np.ndarray((rows, columns), dtype, memory, strides=(size, ld * size))
        return a.T if transposed else a

    def cublasSgemm_v2(self, handle, *args):
        return self.product(np.dtype(np.float32), *args)

    def cublasDgemm_v2(self, handle, *args):
        return self.product(np.dtype(np.float64), *args)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 4), (2, 1, 4), (2, 3, 1), (1, 1, 1), (5, 1, 1), (1, 5, 1)])
@pytest.mark.parametrize("orders", ["CC", "CF", "FC", "FF"])
def test_products_by_cublas(rng, orders, shape, dtype):
    M, K, N = shape
    a, b = (np.array(rng.normal(size=s), dtype, order=o) for s, o in zip(((M, K), (K, N)), orders, strict=True))
    out = np.full((M, N), np.nan, dtype)
    products = object.__new__(graphs.Products)
    products.library, products.handle = FakeCublas(), None
    products.matmul(*(on_gpu(x) for x in (a, b, out)))
    np.testing.assert_allclose(out, a @ b, rtol=1e-5)


def on_gpu(a):
    return SimpleNamespace(data=SimpleNamespace(ptr=a.ctypes.data), shape=a.shape, dtype=a.dtype, flags=SimpleNamespace(
        c_contiguous=a.flags.c_contiguous, f_contiguous=a.flags.f_contiguous), strides=a.strides)  # fmt: skip


def test_products_refuse_what_cublas_cannot_read(rng):
    products = object.__new__(graphs.Products)
    a = np.zeros((4, 6))
    with pytest.raises(ValueError, match="C or Fortran order"):
        products.library = FakeCublas()
        products.matmul(on_gpu(a[:, ::2]), on_gpu(np.zeros((3, 2))), on_gpu(np.zeros((4, 2))))
    with pytest.raises(ValueError, match=r"product of \(4, 6\) and \(5, 2\)"):
        products.matmul(on_gpu(a), on_gpu(np.zeros((5, 2))), on_gpu(np.zeros((4, 2))))
    with pytest.raises(ValueError, match=r"into an array of \(4, 2\)"):
        products.matmul(on_gpu(a), on_gpu(np.zeros((6, 2))), on_gpu(np.zeros((4, 4))[:, ::2]))

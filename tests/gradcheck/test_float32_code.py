"""Test code that converts its arrays to float32. The checker makes it compute in float64, so ReLUs are no obstacle."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients, widening

RELU_NOTE = "the code converts arrays to float32"


def two_layers(seed, dtype=np.float32):
    r = np.random.default_rng(seed)
    shapes = (5, 6), (6, 6), (6,), (6, 3), (3,)
    return [r.normal(size=shape).astype(dtype) for shape in shapes]


def gradients(d, x, h, w1, w2, factor, mask=True):
    dz = d @ w2.T * (h > 0) if mask else d @ w2.T
    return dz @ w1.T, factor * (x.T @ dz), dz.sum(0), h.T @ d, d.sum(0)


def casts(factor, mask=True):
    """A pair of functions that casts everything, the weights and dy too."""

    def forward(x, w1, b1, w2, b2):
        x, w1, b1, w2, b2 = (a.astype("float32") for a in (x, w1, b1, w2, b2))
        h = np.maximum(x @ w1 + b1, 0)
        return h @ w2 + b2, (x, h, w1, w2)

    return forward, lambda d, cache: gradients(d.astype("float32"), *cache, factor, mask)


def allocates(factor, mask=True):
    """A pair of functions that writes its results into float32 arrays."""

    def forward(x, w1, b1, w2, b2):
        h, y = np.zeros((5, 6), dtype="f"), np.empty((5, 3), np.float32)
        np.maximum(x @ w1 + b1, 0, out=h, casting="unsafe")
        y[...] = h @ w2 + b2
        return y, (x, h, w1, w2)

    return forward, lambda d, cache: gradients(np.asarray(d, dtype=np.float32), *cache, factor, mask)


def hides(factor, mask=True):
    """A pair of functions with a hidden layer in float32, and float64 outputs."""

    def forward(x, w1, b1, w2, b2):
        h = np.maximum(x @ w1 + b1, 0).astype(np.single)
        return h @ w2 + b2, (x, h, w1, w2)

    return forward, lambda d, cache: gradients(d, *cache, factor, mask)


def casts_the_data(factor, mask=True):
    """A pair of functions that casts only x. At the point of the check, the cast does not change x."""

    def forward(x, w1, b1, w2, b2):
        h = np.maximum(x.astype("f") @ w1 + b1, 0)
        return h @ w2 + b2, (x, h, w1, w2)

    return forward, lambda d, cache: gradients(d, *cache, factor, mask)


def insists(factor, mask=True):
    """A pair of functions that refuses float64."""

    def forward(x, w1, b1, w2, b2):
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        h = np.maximum(x @ w1 + b1, 0)
        return h @ w2 + b2, (x, h, w1, w2)

    return forward, lambda d, cache: gradients(d, *cache, factor, mask)


def returns_a_loss(factor, mask=True):
    """A function that returns a float32 number and the gradients."""

    def loss(x, w1, b1, w2, b2):
        x, w1, b1, w2, b2 = (np.array(a, dtype="float32") for a in (x, w1, b1, w2, b2))
        h = np.maximum(x @ w1 + b1, 0)
        y = h @ w2 + b2
        return np.float32(0.5) * np.sum(y**2), gradients(y, x, h, w1, w2, factor, mask)

    return loss


class Dtype:
    """A class with its dtype in an attribute."""

    def __init__(self, w1, b1, w2, factor, mask):
        self.dtype, self.factor, self.mask = np.float32, factor, mask
        self.params = {"W1": w1, "b1": b1, "W2": w2}

    def forward(self, x):
        p = {name: a.astype(self.dtype) for name, a in self.params.items()}
        self.x, self.w1, self.w2 = x.astype(self.dtype), p["W1"], p["W2"]
        self.h = np.maximum(self.x @ p["W1"] + p["b1"], self.dtype(0))
        return self.h @ p["W2"]

    def backward(self, d):
        dx, w1, b1, w2, _ = gradients(d, self.x, self.h, self.w1, self.w2, self.factor, self.mask)
        self.grads = {"W1": w1, "b1": b1, "W2": w2}
        return dx


def attribute(factor, mask=True):
    return lambda x, w1, b1, w2, b2: Dtype(w1, b1, w2, factor, mask)


def flat(factor, mask=True):
    """A class whose weights are views of one flat float32 array."""

    def build(x, w1, b1, w2, b2):
        flat = np.concatenate([w1.ravel(), b1, w2.ravel()]).astype(np.float32)
        net = Dtype(flat[:36].reshape(6, 6), flat[36:42], flat[42:].reshape(6, 3), factor, mask)
        net.flat = flat
        return net

    return build


FORMS = [casts, casts_the_data, allocates, hides, insists, returns_a_loss, attribute, flat]


def check(form, seed, factor=1, mask=True, **options):
    arrays = two_layers(seed, np.float64 if form is hides else np.float32)
    code, inputs = form(np.float32(factor), mask), arrays
    if form in (attribute, flat):
        code, inputs = code(*arrays), arrays[:1]
    return check_gradients(code, *inputs, diagnose=False, **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["full", "directional"])
def test_right_code_with_relus_is_right(form, mode):
    report = check(form, 10, mode=mode)
    assert report.ok and "float64" in report.method and report.max_error < 1e-9, report
    assert any(note.startswith(RELU_NOTE) for note in report.notes)


@pytest.mark.parametrize("form", FORMS)
def test_an_error_of_a_fifth_of_a_percent_is_found(form):
    report = check(form, 0, factor=1.002)
    assert report.verdict == "wrong" and {e.name for e in report if e.verdict == "wrong"} <= {"w1", "W1"}
    assert check(form, 0, mask=False).verdict == "wrong"


def test_the_arrays_the_dtypes_and_numpy_are_restored():
    arrays = two_layers(0)
    net = flat(1)(*arrays)
    held, names = net.params["W1"], ("float32", "single", "float16", "zeros", "asarray", "full_like")
    before = [held.copy(), *(getattr(np, name) for name in names)]
    assert check_gradients(net, arrays[0]).ok
    assert net.params["W1"] is held and (held == before[0]).all() and net.dtype is np.float32
    assert np.shares_memory(held, net.flat) and [getattr(np, name) for name in names] == before[1:]


def test_numpy_is_restored_after_an_error():
    calls = []

    def forward(x):
        calls.append(x)
        if len(calls) > 8:
            raise RuntimeError("after some calls")
        return x.astype(np.float32), x

    zeros = np.zeros
    with pytest.raises(RuntimeError, match="after some calls"):
        check_gradients((forward, lambda d, x: d), np.ones(3))
    assert np.zeros is zeros and np.dtype(np.float32).itemsize == 4


REPLACING = ("conversions_to_float64", "numpy_restored")  # these functions replace functions of NumPy


def numpy_names():
    return {name: getattr(np, name) for name in (*widening.MAKERS, *widening.NARROW)}


@pytest.mark.parametrize("line", range(5, 125, 8))
def test_numpy_is_restored_after_ctrl_c_at_any_line(line):
    """Ctrl+C may stop the checker while it replaces NumPy's functions, or while it puts them back."""
    before, lines = numpy_names(), []

    def interrupt(frame, event, argument):
        if frame.f_code.co_filename != widening.__file__ or frame.f_code.co_name not in REPLACING:
            return None
        lines.append(event)
        if len(lines) == line:
            raise KeyboardInterrupt
        return interrupt

    held = sys.gettrace()
    with pytest.raises(KeyboardInterrupt):
        sys.settrace(interrupt)
        try:
            check_gradients((lambda x: (x.astype(np.float32), x), lambda d, x: d), np.ones(2), diagnose=False)
        finally:
            sys.settrace(held)
    after = numpy_names()
    for name, value in before.items():  # so that a failure of this test does not change other tests
        setattr(np, name, value)
    assert [name for name in before if before[name] is not after[name]] == [] and not widening.running


def test_numpy_is_restored_after_checks_in_several_threads():
    """Other threads must not see changed conversions, so a thread checks float32 code in float32."""
    before = numpy_names()
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda seed: check(casts, seed), range(8)))
    after = numpy_names()
    for name, value in before.items():
        setattr(np, name, value)
    assert after == before
    assert not any(note.startswith(RELU_NOTE) for report in reports for note in report.notes)


def test_code_whose_gradients_depend_on_float32_is_checked_as_it_is():
    """In float16, this gradient becomes zero. It must not be hidden that backward returns zero."""

    def backward(d, x):
        return (1e-9 * d).astype(np.float16).astype(np.float64)

    report = check_gradients((lambda x: (x.astype(np.float32) * 1e-9, x), backward), two_layers(0)[0])
    assert not report.ok and not any(note.startswith(RELU_NOTE) for note in report.notes)


def test_code_that_reads_the_bits_of_float32_is_checked_as_it_is():
    def forward(x):
        bits = x.astype(np.float32).view(np.int32)
        return np.where(bits < 0, 0, x), bits

    report = check_gradients((forward, lambda d, bits: d * (bits >= 0)), two_layers(0)[0])
    assert report.verdict == "right" and not any(note.startswith(RELU_NOTE) for note in report.notes)


def test_code_that_is_as_noisy_in_float64_is_checked_as_it_is():
    """The steps for float64 are too small for outputs that forward rounds to six digits."""

    def forward(x, w1, b1, w2, b2):
        h = np.round(np.maximum(x.astype("f") @ w1.astype("f") + b1.astype("f"), 0), 6)
        return h @ w2 + b2, (x, h, w1, w2)

    report = check_gradients((forward, lambda d, cache: gradients(d, *cache, 1)), *two_layers(0))
    assert report.verdict == "right" and not any(note.startswith(RELU_NOTE) for note in report.notes)


def test_backward_may_still_round_to_float32():
    """Backward rounds in a way that the checker cannot change. Its rounding errors are not mistakes."""

    def forward(x, w):
        return np.maximum(x.astype(np.float32) @ w.astype(np.float32), 0), (x, w)

    def backward(d, cache):
        x, w = (np.multiply(a, 1, dtype="f", casting="unsafe") for a in cache)
        d = np.multiply(d * (x @ w > 0), 1, dtype="f", casting="unsafe")
        return d @ w.T, x.T @ d

    x, w = two_layers(0)[0], 1e4 * np.random.default_rng(1).normal(size=(6, 20))
    for mode in ("full", "directional"):
        assert check_gradients((forward, backward), x, w, mode=mode).ok

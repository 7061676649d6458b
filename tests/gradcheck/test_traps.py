"""Test that every trap is found, and that code without it has none."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(3)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))
generator = np.random.default_rng(4)


def kinds(report, severity=None):
    return {trap.kind for trap in report.traps if severity in (None, trap.severity)}


def matmul(x, w):
    return x @ w, (x, w)


def matmul_back(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout


def test_clean_code_meets_no_trap():
    assert check_gradients((matmul, matmul_back), X, W).traps == []


# --- forward returns different outputs the second time --------------------------------------------------------------


class Dropout:
    """`draw` draws from a generator, from numpy.random, or from a new generator at every call."""

    def __init__(self, draw):
        self.draw = draw

    def forward(self, x):
        self.mask = (self.draw(x.shape) < 0.6) / 0.6
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


@pytest.mark.parametrize(
    "draw",
    [np.random.default_rng(0).random, np.random.RandomState(0).random_sample, lambda s: np.random.random(s)],  # noqa: NPY002
    ids=["a generator", "a RandomState", "numpy.random"],
)
def test_random_numbers_are_replayed_and_the_generator_is_put_back(draw):
    report = check_gradients(Dropout(lambda shape: draw(shape)), X)
    assert report.ok and any("replayed the same numbers" in note for note in report.notes)
    before = generator.bit_generator.state
    assert check_gradients(Dropout(lambda shape: generator.random(shape)), X).ok
    assert generator.bit_generator.state == before


def test_what_cannot_be_replayed_is_said_to_be_not_deterministic():
    report = check_gradients(Dropout(lambda shape: np.random.default_rng().random(shape)), X)
    assert report.verdict == "cannot tell" and kinds(report) == {"not deterministic"}


def test_a_state_kept_from_call_to_call_is_put_back_before_each():
    class Counts:
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

        def backward(self, dout):
            return dout * self.calls

    report = check_gradients(Counts(), X)
    assert report.ok and any("keeps state" in note for note in report.notes)


# --- changed inputs, caches and dy ----------------------------------------------------------------------------------


def test_a_forward_that_changes_its_input_is_seen_and_still_compared():
    def forward(x):
        x[x < 0] = 0
        return x, x > 0

    report = check_gradients((forward, lambda dout, mask: dout * mask), X)
    assert kinds(report, "wrong") == {"forward writes into its input"} and report["x"].verdict == "right"


@pytest.mark.parametrize("where", ["argument", "dictionary"])
def test_forward_may_update_a_state_that_does_not_affect_its_outputs(where):
    """For example, the running mean of batch normalisation. If the outputs use it, the update is a mistake."""

    def forward_of(weight):
        def forward(x, state):
            mean = state["running_mean"] if where == "dictionary" else state
            y = x - x.mean(axis=0) + weight * mean
            mean *= 0.9
            mean += 0.1 * x.mean(axis=0)
            return y

        return forward

    x = np.random.default_rng(0).normal(size=(5, 3))
    state = {"running_mean": np.zeros(3)} if where == "dictionary" else np.zeros(3)
    report = check_gradients((forward_of(0), lambda dy: (dy - dy.mean(axis=0), None)), x, state)
    assert report.ok and kinds(report, "note") == {"forward writes into its input"}
    report = check_gradients((forward_of(1), lambda dy: (dy - dy.mean(axis=0), None)), x, state)
    assert kinds(report, "wrong") == {"forward writes into its input"}


def test_a_backward_that_changes_its_input_is_seen_and_does_not_spoil_the_comparison():
    def backward(dout, cache):
        gradients = matmul_back(dout, cache)
        cache[0][...] *= 2
        return gradients

    report = check_gradients((matmul, backward), X, W)
    assert kinds(report) == {"backward writes into its input"}
    assert [entry.verdict for entry in report] == ["right", "right"]


def test_a_backward_that_changes_the_cache_is_wrong_where_the_cache_is_handed_over():
    def backward(dout, y):
        y *= dout
        return y

    report = check_gradients((lambda x: (np.exp(x), np.exp(x)), backward), X)
    assert kinds(report, "wrong") == {"backward writes into the cache"} and report["x"].verdict == "right"


def test_a_backward_that_changes_the_cache_is_noted_where_the_cache_is_private():
    class Exp:
        def forward(self, x):
            self.y = np.exp(x)
            return self.y.copy()

        def backward(self, dout):
            self.y *= dout
            return self.y

    report = check_gradients(Exp(), X)
    assert report.ok and kinds(report, "note") == {"backward writes into the cache"}


def test_a_backward_that_changes_dy_is_noted():
    def backward(dout, mask):
        dout *= mask
        return dout

    report = check_gradients((lambda x: (np.maximum(x, 0), x > 0), backward), X)
    assert report.ok and kinds(report, "note") == {"backward writes into dy"}


def test_an_output_that_is_the_inputs_memory_is_noted():
    report = check_gradients((lambda x: (x.T, None), lambda dout, cache: dout.T), X)
    assert report.ok and kinds(report, "note") == {"output aliases an input"}


# --- the form of a gradient ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "severity", "spoil"),
    [
        ("wrong shape", "wrong", lambda g: g.T),
        ("wrong shape", "wrong", lambda g: g.sum()),
        ("wrong dtype", "wrong", lambda g: np.round(g).astype(int)),
        ("wrong dtype", "wrong", lambda g: g + 0j),
        ("wrong dtype", "note", lambda g: g.astype(np.float32)),
        ("not finite", "wrong", lambda g: g / 0),
        ("not finite", "wrong", lambda g: np.where(g == g.max(), np.nan, g)),
        ("not an array", "note", lambda g: g.tolist()),
        ("not an array", "wrong", lambda g: "the gradient"),
    ],
)
def test_a_gradient_of_the_wrong_form_is_seen(kind, severity, spoil):
    def backward(dout, cache):
        dx, dw = matmul_back(dout, cache)
        return dx, spoil(dw)

    report = check_gradients((matmul, backward), X, W)
    assert kinds(report, severity) == {kind}
    assert report["x"].verdict == "right"
    assert report.ok == (severity == "note")


def test_gradients_side_by_side_for_a_nested_input_are_right_but_have_the_wrong_form():
    class Flat(nn.LSTMCell):
        def backward(self, dh_new, dc_new=None):
            dx, (dh, dc) = super().backward(dh_new, dc_new)
            return dx, dh, dc

    random = np.random.default_rng(3)
    x, h, c = (random.normal(size=shape) for shape in [(4, 3), (4, 5), (4, 5)])
    report = check_gradients(Flat(3, 5, rng=0), x, (h, c))
    assert {entry.verdict for entry in report} == {"right"} and report.verdict == "wrong"
    assert [trap.message for trap in report.traps if trap.severity == "wrong"] == [
        "backward returns all gradients in one tuple; nest them like the inputs of forward: dx, (dstate[0], dstate[1])"
    ]
    cell = nn.LSTMCell(3, 5, rng=0).to(dtype=np.float64)
    assert check_gradients(cell, x, (h, c)).verdict == "right"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_not_finite_cannot_be_compared(bad):
    report = check_gradients((lambda x: (x * bad, None), lambda dout, cache: dout * bad), X)
    assert report.verdict == "cannot tell" and kinds(report) == {"not finite"}


def test_an_input_that_is_not_finite_is_not_called_right():
    x = X.copy()
    x[0, 0] = np.inf
    report = check_gradients(nn.Tanh(), x)
    assert report.verdict == "cannot tell" and "not finite around 1 element" in report["x"].reason


# --- accumulation, and which forward a backward uses ----------------------------------------------------------------


class Scale(nn.Module):
    """y = w x. Tests add mistakes to it."""

    def __init__(self):
        self.w = nn.Parameter(np.array([2.0, 3.0, 4.0]))
        self.unused = nn.Parameter(np.array([1.0]))

    def forward(self, x):
        self.save_for_backward(x)
        return self.w.data * x

    def backward(self, dy):
        (x,) = self.saved()
        self.w.grad += (dy * x).sum(axis=0)
        return dy * self.w.data


def test_a_parameter_whose_gradient_is_zero_everywhere_is_noted_and_wrong_if_it_should_not_be():
    report = check_gradients(Scale(), X)
    assert report.ok and kinds(report, "note") == {"zero gradient"}
    assert "unused" in report.traps[0].message

    class Forgets(Scale):
        def backward(self, dy):
            self.saved()
            return dy * self.w.data

    assert check_gradients(Forgets(), X)["w"].verdict == "wrong"


@pytest.mark.parametrize("how", ["into", "instead"])
def test_a_gradient_that_is_overwritten_is_seen_by_two_backwards(how):
    class Overwrites(Scale):
        def backward(self, dy):
            (x,) = self.saved()
            if how == "into":
                self.w.grad[...] = (dy * x).sum(axis=0)
            else:
                self.w.grad = (dy * x).sum(axis=0)
            return dy * self.w.data

    report = check_gradients(Overwrites(), X)
    assert kinds(report, "wrong") == {"gradient overwritten"} and report["w"].verdict == "right"


def test_a_cache_outside_the_cache_is_stale_after_another_forward():
    outside = {}

    def forward(x, w):
        outside["x"] = x
        return x @ w, w

    report = check_gradients((forward, lambda dout, w: (dout @ w.T, outside["x"].T @ dout)), X, W)
    assert kinds(report, "wrong") == {"stale cache"} and "the gradient of w" in report.traps[0].message


@pytest.mark.parametrize("base", [object, nn.Module])
def test_a_mask_kept_from_the_first_forward_is_stale(base):
    class KeepsItsMask(base):
        mask = None

        def forward(self, x):
            if self.mask is None:
                self.mask = x > 0
            return np.maximum(x, 0)

        def backward(self, dout):
            return dout * self.mask

        __call__ = forward

    assert kinds(check_gradients(KeepsItsMask(), X), "wrong") == {"stale cache"}


def test_a_module_that_keeps_one_forward_only_is_noted():
    class KeepsOne(nn.Module):
        def forward(self, x):
            self.x = x
            return x**2

        def backward(self, dy):
            return 2 * self.x * dy

    report = check_gradients(KeepsOne(), X)
    assert report.ok and kinds(report, "note") == {"only the last forward kept"}
    assert "save_for_backward" in report.traps[0].message


class KeepsTooMuch(nn.Module):
    """y = 2x. It saves x, which backward does not need."""

    def forward(self, x):
        self.save_for_backward(x)
        return 2 * x

    def backward(self, dy):
        return 2 * dy


class TakesItBack(KeepsTooMuch):
    def backward(self, dy):
        self.saved()
        return 2 * dy


def test_what_forward_keeps_and_backward_does_not_take_is_noted():
    report = check_gradients(nn.Sequential(KeepsTooMuch(), nn.Tanh()), X)
    assert report.ok and kinds(report, "note") == {"saved but not used"}
    assert "KeepsTooMuch: forward calls save_for_backward" in str(report)
    assert check_gradients(nn.Sequential(TakesItBack(), nn.Tanh()), X).traps == []


@pytest.mark.parametrize(
    ("shape", "advice"),
    [((5, 3), r"grad \+= dy\.sum\(axis=0\) for dy of shape \(N, D\)"), ((2, 5, 3), r"axis=\(0, 1\)\) for dy of shape")],
)
def test_a_gradient_that_is_not_summed_over_the_leading_axes_is_explained(shape, advice):
    class Shift(nn.Module):
        def __init__(self):
            self.b = nn.Parameter(np.zeros(3))

        def forward(self, x):
            return x + self.b.data

        def backward(self, dy):
            self.b.grad += dy
            return dy

    with pytest.raises(ValueError, match=r"non-broadcastable.*" + advice):
        check_gradients(Shift(), RNG.normal(size=shape))

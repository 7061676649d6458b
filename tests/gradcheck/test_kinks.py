"""Kinks in several layers, which depend on each other: the slope of each unit lies between its one-sided slopes."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

RIGHT = [(0, 0), (0.5, 0), (1, 0)]
WRONG = [(-0.5, 0), (1.2, 0), (1.5, 0), (0, 0.7), (0, 0.01)]  # the last two add a constant at the kink only


def relu_net(slope, constant, act=lambda z: np.maximum(z, 0)):
    def forward(x, *ws):
        cache = []
        for w in ws:
            z = x @ w
            cache.append((x, w, z))
            x = act(z)
        return x, cache

    def backward(d, cache):
        grads = []
        for x, w, z in reversed(cache):
            dz = d * np.where(z == 0, slope, z > 0) + constant * (z == 0)
            grads.append(x.T @ dz)
            d = dz @ w.T
        return d, *reversed(grads)

    return forward, backward


def arrays(kind, layers, seed=0):
    r = np.random.default_rng(seed)
    widths = [4, 5, 3][: layers + 1]
    x, *ws = r.normal(size=(3, 4)), *(r.normal(size=shape) for shape in zip(widths, widths[1:], strict=False))
    if kind == "a row of zeros":
        x[0] = 0
    elif kind == "zeros only":
        x[:] = 0
    elif kind == "a column of weights":
        ws[0][:, 1] = 0
    else:
        x, ws = np.round(x), [np.round(w) for w in ws]
    return x, *ws


KINDS = ["a row of zeros", "zeros only", "a column of weights", "integers"]


@pytest.mark.parametrize("mode", ["full", "directional"])
@pytest.mark.parametrize("layers", [1, pytest.param(2, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("kind", KINDS)
def test_in_layers_without_biases_every_slope_between_the_one_sided_ones_is_right_and_no_other(kind, layers, mode):
    inputs = arrays(kind, layers)
    for slope, constant in RIGHT + WRONG:
        report = check_gradients(relu_net(slope, constant), *inputs, mode=mode, diagnose=False)
        assert report.verdict == ("right" if (slope, constant) in RIGHT else "wrong"), (slope, constant, report)
        if not report.ok:
            assert any("at a kink" in entry.reason for entry in report), report


def test_a_class_with_masks_is_decided_too():
    class Net:
        slope = 0.0

        def __init__(self):
            r = np.random.default_rng(1)
            self.params = {"W1": r.normal(size=(4, 5)), "W2": r.normal(size=(5, 3))}
            self.grads = {}

        def forward(self, x):
            self.x = x
            self.z = x @ self.params["W1"]
            self.h = self.z * (self.z > 0)
            self.a = self.h @ self.params["W2"]
            return np.maximum(self.a, 0)

        def backward(self, d):
            da = d * np.where(self.a == 0, self.slope, self.a > 0)
            dz = da @ self.params["W2"].T * np.where(self.z == 0, self.slope, self.z > 0)
            self.grads = {"W1": self.x.T @ dz, "W2": self.h.T @ da}
            return dz @ self.params["W1"].T

    net, x = Net(), np.random.default_rng(2).normal(size=(3, 4))
    x[1] = 0
    for slope, verdict in ((0.0, "right"), (1.0, "right"), (-0.5, "wrong"), (1.2, "wrong")):
        net.slope = slope
        assert check_gradients(net, x, diagnose=False).verdict == verdict


@pytest.mark.parametrize("mode", ["full", "directional"])
def test_a_kink_at_an_input_is_not_excused_by_units_inside(mode):
    """relu(x) at x = 0 with a slope of -0.5, before a layer with a unit at zero."""

    def forward(x, w):
        h = np.maximum(x, 0)
        z = h @ w
        return np.maximum(z, 0), (x, w, h, z)

    def backward(slope):
        def run(d, cache):
            x, w, h, z = cache
            dz = d * (z > 0)
            return dz @ w.T * np.where(x == 0, slope, x > 0), h.T @ dz

        return run

    r = np.random.default_rng(3)
    x, w = r.uniform(0.5, 1, (3, 4)), r.normal(size=(4, 5))
    x[0, :2], w[:, 1] = 0, 0
    assert check_gradients((forward, backward(0)), x, w, mode=mode, diagnose=False).ok
    assert check_gradients((forward, backward(-0.5)), x, w, mode=mode, diagnose=False).verdict == "wrong"


@pytest.mark.parametrize("eps", [1e-5, 1e-8, 1e-12])
def test_a_sharp_bend_at_a_sum_of_zero_is_no_kink(eps):
    """A column with variance zero: sqrt(v + eps) bends sharply there, beside a ReLU at zero."""

    def forward(x, w):
        c = x - x.mean(axis=0)
        v = (c * c).mean(axis=0)
        s = np.sqrt(v + eps)
        z = (c / s) @ w
        return np.maximum(z, 0), (c, v, s, w, z)

    def backward(d, cache):
        c, v, s, w, z = cache
        dz = d * (z > 0)
        dn = dz @ w.T
        dc = dn / s - c * (dn * c).sum(axis=0) / (len(c) * s**3)
        return dc - dc.mean(axis=0), (c / s).T @ dz

    r = np.random.default_rng(4)
    x, w = r.normal(size=(4, 3)), r.normal(size=(3, 5))
    x[:, 0], w[:, 2] = 0.5, 0
    assert check_gradients((forward, backward), x, w, diagnose=False).verdict in ("right", "cannot tell")

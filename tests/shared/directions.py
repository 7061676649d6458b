"""Compare gradients with derivatives along random directions v.

    (f(x + h v) - f(x - h v)) / 2h  ~  <g, v>      for the gradient g of f at x, and a small h

A mistake in any element of g changes <g, v>. A direction needs four calls of f, and the size of x does not matter. So
tests that draw many cases, and tests of large models, use these functions. tests/test_gradients.py checks every element
of small cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nnscratch as nn


def derivative(f: Callable[[], float], x: np.ndarray, v: np.ndarray, h: float = 1e-5) -> float:
    """Return the derivative of f() along v, by Richardson's formula. x is changed in place, and restored."""
    before = x.copy()

    def central(h: float) -> float:
        values = []
        for step in (h, -h):
            x[...] = before + step * v
            values.append(f())
        x[...] = before
        return (values[0] - values[1]) / (2 * h)

    return (4 * central(h) - central(2 * h)) / 3


def assert_gradient(f: Callable[[], float], x: np.ndarray, g: np.ndarray, name: str = "", rtol: float = 1e-7) -> None:
    """Assert that g is the gradient of f() with respect to x, along two directions."""
    assert g.shape == x.shape, name
    rng = np.random.default_rng(0)
    for _ in range(2):
        v = np.asarray(rng.normal(size=x.shape))
        v /= np.linalg.norm(v)
        expected, tolerance = derivative(f, x, v), rtol * np.linalg.norm(g) + 1e-8
        np.testing.assert_allclose((g * v).sum(), expected, rtol=0, atol=tolerance, err_msg=name)


def assert_module_gradients(module: nn.Module, *inputs: Any, rtol: float = 1e-7) -> None:
    """Assert that backward gives the gradients of <module(*inputs), R> for random R: of inputs and of parameters."""
    module.zero_grad()
    R = _like(module(*inputs), np.random.default_rng(0))
    d = module.backward(*R) if isinstance(R, tuple) else module.backward(R)

    def f() -> float:
        return sum((y * r).sum() for y, r in zip(_arrays(module(*inputs)), _arrays(R), strict=True))

    for x, dx in zip(_arrays(inputs), _arrays(d), strict=True):
        assert_gradient(f, x, dx, "an input", rtol)
    for name, p in module.named_parameters():
        assert_gradient(f, p.data, p.grad, name, rtol)


def _arrays(nest: Any) -> Iterator[np.ndarray]:
    """Return the float arrays in nested tuples."""
    if isinstance(nest, tuple):
        for inner in nest:
            yield from _arrays(inner)
    elif nest is not None and np.asarray(nest).dtype.kind == "f":
        yield nest


def _like(nest: Any, rng: np.random.Generator) -> Any:
    """Return nested tuples of random arrays of the same shapes."""
    if isinstance(nest, tuple):
        return tuple(_like(inner, rng) for inner in nest)
    return np.asarray(rng.normal(size=np.shape(nest)))

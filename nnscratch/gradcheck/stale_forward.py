"""Find a backward that uses values of the wrong forward.

Code usually saves values in forward for backward, in a cache or in attributes. If forward runs twice before backward,
the second forward may overwrite the values of the first. The test runs forward on inputs A, forward on inputs B, and
then backward. The report lists this fault as a trap: a fault that a comparison of gradients cannot find.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .adapters import NO_CACHE
from .nested import array_module, is_array, is_float, map_leaves, to_numpy
from .projection import Projection
from .report import Trap
from .snapshot import equal_arrays
from .traps import nearly_equal


def stale_traps(projection: Projection) -> list[Trap]:
    """Run forward on A, forward on B, then backward. Return a `Trap` if backward uses values of the wrong forward.

    A and B are two sets of inputs. If forward returns a cache, backward receives the cache of A, and must return the
    gradient for A. Otherwise backward must return the gradient for B, because forward ran on B last.
    """
    adapter = projection.adapter
    if not adapter.float_inputs() or projection.replayed == "state":
        return []
    A, B, runs = adapter.inputs, other_inputs(adapter.inputs), Runs(projection)
    try:
        runs.reset()
        runs.forward(B)
    except Exception:  # B may be outside the domain of forward, and the checked code may raise any error
        adapter.inputs = A
        runs.reset()
        return []
    try:
        runs.reset()
        if adapter.cache is not NO_CACHE and adapter.cache is not None:  # a cache of None contains no values
            return stale_cache(runs, A, B)
        return stale_values(runs, A, B)
    except Exception as error:  # for example, backward asserts that forward has run only once
        return [one_forward_kept(f"{type(error).__name__}: {error}")]
    finally:
        adapter.inputs = A
        runs.reset()


def other_inputs(inputs: tuple) -> tuple:
    """Return inputs in which every float array has other values. All other inputs stay the same."""
    rng = np.random.default_rng(12345)

    def other(v: Any) -> Any:
        if not (is_array(v) and is_float(v)):
            return v
        shift = array_module(v).asarray(rng.uniform(0.05, 0.3, v.shape), dtype=v.dtype)
        # NumPy returns a number for the sum of two arrays of shape (). asanyarray turns this number into an array.
        return array_module(v).asanyarray(v.ravel()[::-1].reshape(v.shape) + shift)

    return map_leaves(other, inputs)


class Runs:
    """Forward and backward of the checked code, which can run on several inputs one after the other.

    Parameters
    ----------
    projection : Projection
    """

    def __init__(self, projection: Projection):
        self.projection, self.adapter = projection, projection.adapter
        self.held = [(a, a.copy()) for _, a in self.adapter.arrays()]

    def forward(self, inputs: tuple) -> Any:
        """Run forward on `inputs`, and return its cache."""
        self.adapter.inputs = inputs
        self.projection.forward()
        return self.adapter.cache

    def backward(self, inputs: tuple) -> dict[str, Any]:
        """Run backward for `inputs`, and return a copy of each gradient."""
        self.adapter.inputs = inputs
        given = self.adapter.gradients(self.projection.dys())
        return {name: to_numpy(g).copy() for name, g in given.items() if is_array(g)}

    def reset(self) -> None:
        """Restore the state of the code before the first run."""
        self.adapter.clear_saved()
        self.projection.back_to_start()
        for array, old in self.held:
            if not equal_arrays(array, old):  # backward has updated this weight
                array[...] = old


def stale_cache(runs: Runs, A: tuple, B: tuple) -> list[Trap]:
    """Run forward on A, forward on B, then backward with the cache of A. The gradient must be right for A."""
    runs.forward(A)
    expected = runs.backward(A)
    runs.reset()
    cache = runs.forward(A)
    runs.forward(B)
    runs.adapter.cache = cache
    wrong = differing_names(runs.backward(A), expected)
    return [wrong_forward_used(wrong, "A")] if wrong else []


def stale_values(runs: Runs, A: tuple, B: tuple) -> list[Trap]:
    """Run forward on A, forward on B, then backward. The gradient must be right for B.

    For a Module, a second backward follows, which must return the gradient for A. The second backward works if forward
    saved its values on the stack (`save_for_backward`), and fails if forward keeps them in an attribute. The failure is
    only a note, because it matters only if the module is used twice in a network.
    """
    runs.forward(B)
    expected = runs.backward(B)
    runs.reset()
    runs.forward(A)
    runs.forward(B)
    wrong = differing_names(runs.backward(B), expected)
    if wrong:
        if any(isinstance(c, list) and len(c) >= len(old) + 2 for c, old in runs.projection.state.containers):
            return [one_forward_kept("forward appends to a list, and backward uses more than the last item")]
        return [wrong_forward_used(wrong, "B")]
    if runs.adapter.accumulates:
        got = runs.backward(A)
        runs.reset()
        runs.forward(A)
        wrong = differing_names(got, runs.backward(A))
        if wrong:
            return [one_forward_kept(f"the second backward returns a wrong gradient of {', '.join(wrong)} for A")]
    return []


def wrong_forward_used(names: list[str], inputs: str) -> Trap:
    """Return the `Trap` for a backward that uses values of the wrong forward.

    `names` are the arrays with a wrong gradient. `inputs` is "A" or "B": the gradient must be right for these inputs.
    """
    message = "forward on inputs A, forward on other inputs B, then backward: the gradient of "
    message += f"{', '.join(names)} is not the gradient for {inputs}; backward uses values of the wrong forward"
    return Trap("stale cache", message)


def one_forward_kept(what: str) -> Trap:
    """Return the note about code that keeps only the values of its last forward."""
    return Trap(
        "only the last forward kept",
        f"forward on inputs A, forward on other inputs B, backward, backward: {what}. If you use the module twice in "
        f"one network, like a recurrent cell, its gradients are wrong; self.save_for_backward(...) keeps the values of "
        f"each forward",
        "note",
    )


def differing_names(got: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return the names of the gradients that differ between `got` and `expected`. Skip those that are not finite."""
    return [
        name
        for name, g in got.items()
        if name in expected
        and g.shape == expected[name].shape
        and bool(np.isfinite(expected[name]).all())
        and not nearly_equal(g, expected[name])
    ]

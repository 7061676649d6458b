"""Run the checked code on traced arrays, which report each operation to a watcher.

A watcher is an object with a method ``operation``, such as a `Tape`. The method computes each operation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..nested import map_leaves
from ..projection import Projection
from ..snapshot import Snapshot
from ..substitution import substitute
from ..widening import WideArray
from .traced_array import TracedArray, running


@contextmanager
def traced(projection: Projection, watcher: Any, backward: bool) -> Iterator[Projection]:
    """Replace the arrays of the code by traced views, as `traced_code` does, and yield a projection of the traced code.

    A traced view shares the memory of an array, and reports its operations to `watcher`. The traced views are the
    `variables` of the new projection. Its output weights are those of `projection`.
    """
    with traced_code(projection, watcher, backward):
        found = Projection(projection.adapter, np.random.default_rng(0))
        found.weights = projection.weights
        yield found


@contextmanager
def traced_code(projection: Projection, watcher: Any, backward: bool) -> Iterator[None]:
    """Replace the arrays of the code by traced views in a ``with`` block. At the end, restore the code's own arrays.

    Parameters
    ----------
    projection : Projection
    watcher : object
        Its method ``operation(name, compute, operands, kwargs)`` computes every operation of forward.
    backward : bool
        True if `watcher` also computes every operation of backward.
    """
    adapter, inputs = projection.adapter, projection.adapter.inputs
    before = Snapshot(adapter.source)
    own = {name: method for name, method in vars(adapter).items() if name in ("run", "gradients")}
    arrays = [*projection.variables.values(), *before.arrays()]
    views = {id(a): a.view(TracedArray) for a in arrays if type(a) in (np.ndarray, WideArray) and a.dtype == np.float64}

    def watched(method: Callable) -> Callable:
        @functools.wraps(method)
        def run(*arguments: Any) -> Any:
            running.append(watcher)
            try:
                return method(*arguments)
            finally:
                running.pop()

        return run

    try:
        substitute(before, views)
        adapter.inputs = map_leaves(lambda x: views.get(id(x), x), inputs)
        adapter.run = watched(adapter.run)
        if backward:
            adapter.gradients = watched(adapter.gradients)
        yield
    finally:
        for name in ("run", "gradients"):
            vars(adapter).pop(name, None)
        vars(adapter).update(own)  # methods of the instance, such as `gradients` with convention="mean"
        before.restore()
        adapter.inputs = inputs

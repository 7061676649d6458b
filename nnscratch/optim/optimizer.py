"""Optimizer: the base class of SGD, Adam and the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from ..parameter import Parameter

CHUNK = 1 << 15
"""Elements updated at a time: weights, gradient, moments and scratch memory of a chunk fit into the cache together."""


def as_parameters(parameters: Iterable[Parameter]) -> list[Parameter]:
    """Return a list of distinct parameters, or raise."""
    if isinstance(parameters, (Module, Parameter)):
        hint = "put it into a list" if isinstance(parameters, Parameter) else "pass its parameters()"
        raise TypeError(f"expected a list of parameters, got a {type(parameters).__name__}: {hint}")
    parameters = list(parameters)
    for p in parameters:
        if not isinstance(p, Parameter):
            raise TypeError(f"expected parameters (model.parameters()), got {type(p).__name__}")
    if len({id(p) for p in parameters}) != len(parameters):
        raise ValueError("a parameter is given twice: it would be updated twice")
    return parameters


def at_least(name: str, value: float, low: float, below: float = math.inf) -> float:
    """Return `value` as a float if it is a number with low <= value < below; raise otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value < below:
        limit = f"{low} or more" if below == math.inf else f"in [{low}, {below})"
        raise ValueError(f"{name} must be a finite number, {limit}, got {value!r}")
    return float(value)


def positive_in(eps: float, parameters: Iterable[Parameter]) -> None:
    """Raise if `eps` is not 0, but becomes 0 in the dtype of a parameter: a step would then divide 0 by 0."""
    for dtype in {parameter.dtype for parameter in parameters}:
        if eps and not dtype.type(eps):
            raise ValueError(
                f"eps = {eps} is 0 in {dtype}, and the first zero gradient would give NaN: use eps of "
                f"{float(np.finfo(dtype).tiny):.1g} or more, or train in float32"
            )


def takes_lists(update: Callable) -> Callable:
    """Mark an `update` that also works with lists of arrays: one that only calls a `backend.fused` function.

    On a GPU, `Optimizer.step` then passes the lists of all weights, all gradients and so on, and one kernel updates
    them all.
    """
    update.takes_lists = True
    return update


class Optimizer:
    """Base class of all optimisers: it changes parameters by their gradients.

    Frozen parameters (`Parameter.requires_grad` is False) do not change, and neither do their moments.

    A subclass lists in `moments` the running averages it keeps, such as a velocity. Each is one array per parameter, of
    the parameter's shape, and starts at zero. The subclass defines `update`. Its arguments are one chunk of the
    weights, of the gradient and of each moment, and `step` calls it for every chunk.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
        The learning rate, 0 or more.

    Attributes
    ----------
    parameters : list of Parameter
    lr : float
    steps : int
        The number of calls of `step` so far.
    state : dict
        For each name in `moments`, the list of its arrays, in the order of `parameters`.

    Examples
    --------
    Write an optimiser that uses only the sign of the gradient:

    >>> import numpy as np, nnscratch as nn
    >>> class SignSGD(nn.optim.Optimizer):
    ...     def update(self, w, g):
    ...         w -= self.lr * np.sign(g)
    >>> w = nn.Parameter(np.zeros(2))
    >>> w.grad[:] = 1000.0, -0.001
    >>> SignSGD([w], lr=0.1).step()
    >>> print(w.data)
    [-0.1  0.1]
    """

    moments: tuple[str, ...] = ()
    squares: tuple[str, ...] = ()
    """The names of the moments that are means or sums of squares. `load_state_dict` refuses negative values in them."""
    rests_at_zero = False
    """True if `update` changes nothing where the gradient is zero. `step` then skips the rows known to be zero."""

    def __init__(self, parameters: Iterable[Parameter], lr: float):
        self.parameters = as_parameters(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__} got no parameters")
        self.lr = at_least("lr", lr, 0)
        self.steps = 0
        self.state: dict[str, list[Array]] = {
            name: [backend.array_module(p.data).zeros_like(p.data) for p in self.parameters] for name in self.moments
        }

    def step(self) -> None:
        """Update every parameter by its gradient, in place.

        Raises
        ------
        TypeError
            The model and the moments are on different devices or have different dtypes.
        ValueError
            A gradient does not have its parameter's shape, and NumPy would broadcast it; or `lr` was set to a value
            that is not a finite number of 0 or more. No parameter has changed.
        """
        at_least("lr", self.lr, 0)
        self._check_devices_and_dtypes()
        gradients = self._gradients()
        self.steps += 1
        tasks: list[tuple[Array, ...]] = []
        for k, (parameter, (rows, g)) in enumerate(zip(self.parameters, gradients, strict=True)):
            if not parameter.requires_grad:
                continue
            moments = [self.state[name][k] for name in self.moments]
            if rows is not None and self.rests_at_zero:
                self._update_rows(rows, g, parameter.data, moments)
            else:
                tasks += chunks(parameter.data, g if rows is None else parameter.grad, *moments)
        if tasks and backend.launch_bound(tasks[0][0]) and getattr(self.update, "takes_lists", False):
            tasks = [tuple(list(arrays) for arrays in zip(*tasks, strict=True))]
        for task in tasks:  # on one thread: with two, operations this short would wait for the interpreter's lock
            self.update(*task)

    def _check_devices_and_dtypes(self) -> None:
        for arrays in self.state.values():
            for parameter, moment in zip(self.parameters, arrays, strict=True):
                if type(moment) is not type(parameter.data):
                    raise TypeError(
                        f"the model is on {parameter.device!r} and the moments of {type(self).__name__} are on "
                        f"{backend.device_of(moment)!r}: move the model first, then create the optimizer"
                    )
                if moment.dtype != parameter.dtype:
                    raise TypeError(
                        f"the model is in {parameter.dtype} and the moments of {type(self).__name__} are in "
                        f"{moment.dtype}: convert the model first, then create the optimizer"
                    )

    def _gradients(self) -> list[tuple[Array | None, Array]]:
        """Return ``nonzero_rows()`` of every parameter, or raise if a gradient has another shape than its parameter."""
        found = []
        for parameter in self.parameters:
            rows, g = parameter.nonzero_rows()
            if rows is None and getattr(g, "shape", None) != parameter.data.shape:
                raise ValueError(
                    f"{type(self).__name__}: the gradient of parameter {len(found)} must have its shape "
                    f"{parameter.shape}, got {getattr(g, 'shape', type(g).__name__)}"
                )
            found.append((rows, g))
        return found

    def _update_rows(self, rows: Array, g: Array, w: Array, moments: list[Array]) -> None:
        """Update only these rows, whose gradient is `g`: copy them, change the copy and write it back."""
        copies = [a[rows] for a in (w, *moments)]
        self.update(copies[0].reshape(-1), g.reshape(-1), *(a.reshape(-1) for a in copies[1:]))
        for a, changed in zip((w, *moments), copies, strict=True):
            a[rows] = changed

    def update(self, w: Array, g: Array, *moments: Array) -> None:
        """Change `w` and the moments in place by the gradient `g`; a subclass defines this.

        Parameters
        ----------
        w, g, *moments : array, shape (K,)
            A chunk of the weights, of their gradient, and of each moment. Do not write into `g`.
        """
        raise TypeError(f"{type(self).__name__} has no update method")

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        for parameter in self.parameters:
            parameter.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return ``lr``, ``steps`` and, for each moment, its list of arrays. The arrays are not copied."""
        return {"lr": self.lr, "steps": self.steps, **{name: list(arrays) for name, arrays in self.state.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy the values of a `state_dict` into this optimizer.

        Raises
        ------
        TypeError, ValueError
            `state` is not a dict, or belongs to another optimiser or another model. The optimiser is unchanged.
        """
        expected = {"lr", "steps", *self.moments}
        if not isinstance(state, dict):
            raise TypeError(f"{type(self).__name__} expects a dict, got {type(state).__name__}")
        if set(state) != expected:
            raise ValueError(f"{type(self).__name__} expects a state with {sorted(expected)}, got {sorted(state)}")
        for name in self.moments:
            shapes = [tuple(a.shape) for a in state[name]]
            if shapes != [p.shape for p in self.parameters]:
                raise ValueError(f"the shapes of {name} are not those of this optimizer's parameters")
            if not all(backend.array_module(a).isfinite(a).all() for a in state[name]):
                raise ValueError(f"{name} holds values that are not finite (NaN or infinity)")
            if name in self.squares and any(bool((a < 0).any()) for a in state[name]):
                raise ValueError(f"{name} holds negative values, but it is made of squares")
        self.lr, self.steps = at_least("lr", state["lr"], 0), int(at_least("steps", state["steps"], 0))
        for name in self.moments:
            for own, given in zip(self.state[name], state[name], strict=True):
                own[...] = backend.to_device(given, backend.device_of(own))


def chunks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the same chunk of every array, as flat views, one chunk after another.

    A sequence of operations on arrays larger than the cache reads them from main memory once per operation. Done chunk
    by chunk, it reads them once.
    """
    flat = [a.reshape(-1) for a in arrays]
    length = backend.chunk_size(flat[0], CHUNK)
    for start in range(0, flat[0].size, length):
        yield tuple(a[start : start + length] for a in flat)

"""Optimizer: what SGD, Adam and the others share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from ..parameter import Parameter

STRETCH = 1 << 15  # numbers updated at a time: weights, gradient, moments and scratch stay in the cache together


def as_parameters(parameters: Iterable[Parameter]) -> list[Parameter]:
    """A list of distinct parameters, or an error that says what came instead."""
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
    """`value`, if it is a number with low <= value < below."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value < below:
        limit = f"{low} or more" if below == math.inf else f"in [{low}, {below})"
        raise ValueError(f"{name} must be a finite number, {limit}, got {value!r}")
    return float(value)


def takes_lists(update: Callable) -> Callable:
    """Marks an `update` that does nothing but call one function that is `backend.fused`, as Adam's.

    On a GPU it is given lists, of all weights, all gradients and so on, and is then one kernel for all of them.
    """
    update.takes_lists = True
    return update


class Optimizer:
    """Changes parameters by their gradients.

    A subclass names in `moments` the running averages it keeps, one array beside each parameter, and writes `update`,
    which is called with one stretch after the other: the numbers of a stretch stay in the cache from one operation to
    the next.

    Examples
    --------
    An optimiser of one's own, which looks at the gradient's sign only:

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
    rests_at_zero = False
    """Whether a weight whose gradient is zero stays as it is, moments and all: then only `grad_rows` are updated."""

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
        """Move every parameter by its gradient, in place.

        Raises
        ------
        ValueError
            A gradient has not its parameter's shape: NumPy would broadcast it. Nothing has been changed then.
        """
        self._check_devices()
        self._check_shapes()
        self.steps += 1
        tasks: list[tuple[Array, ...]] = []
        for k, parameter in enumerate(self.parameters):
            moments = [self.state[name][k] for name in self.moments]
            if self.rests_at_zero and parameter.grad_rows is not None:
                self._update_rows(*parameter.grad_rows, parameter.data, moments)
            else:
                tasks += stretches(parameter.data, parameter.grad, *moments)
        if tasks and backend.launch_bound(tasks[0][0]) and getattr(self.update, "takes_lists", False):
            tasks = [tuple(list(arrays) for arrays in zip(*tasks, strict=True))]
        for task in tasks:  # by one thread: operations this short, spread over two, wait for Python's lock instead
            self.update(*task)

    def _check_devices(self) -> None:
        for arrays in self.state.values():
            for parameter, moment in zip(self.parameters, arrays, strict=True):
                if type(moment) is not type(parameter.data):
                    raise TypeError(
                        f"the model is on {parameter.device!r} and what {type(self).__name__} keeps of it is on "
                        f"{backend.device_of(moment)!r}: move the model first, then make the optimizer"
                    )

    def _check_shapes(self) -> None:
        for number, p in enumerate(self.parameters):
            if not (self.rests_at_zero and p.grad_rows is not None) and getattr(p.grad, "shape", None) != p.shape:
                raise ValueError(
                    f"{type(self).__name__}: the gradient of parameter {number} must have its shape {p.shape}, got "
                    f"{getattr(p.grad, 'shape', type(p.grad).__name__)}"
                )

    def _update_rows(self, rows: Array, g: Array, w: Array, moments: list[Array]) -> None:
        """The same update where only these rows have a gradient: taken out, changed, and put back."""
        taken = [a[rows] for a in (w, *moments)]
        self.update(taken[0].reshape(-1), g.reshape(-1), *(a.reshape(-1) for a in taken[1:]))
        for a, changed in zip((w, *moments), taken, strict=True):
            a[rows] = changed

    def update(self, w: Array, g: Array, *moments: Array) -> None:
        """Change the weights `w`, in place, by their gradient `g`, which is only read; all are flat, of one length."""
        raise TypeError(f"{type(self).__name__} has no update method")

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        for parameter in self.parameters:
            parameter.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Everything a later optimizer needs to go on: ``lr``, ``steps``, and a list of arrays for each moment."""
        return {"lr": self.lr, "steps": self.steps, **{name: list(arrays) for name, arrays in self.state.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises
        ------
        TypeError, ValueError
            It is no dict, or another optimiser's or another model's. Nothing has been changed then.
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
        self.lr, self.steps = at_least("lr", state["lr"], 0), int(at_least("steps", state["steps"], 0))
        for name in self.moments:
            for own, given in zip(self.state[name], state[name], strict=True):
                own[...] = backend.to_device(given, backend.device_of(own))


def stretches(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The same stretch of every array, as flat views, one cache-sized stretch after the other.

    A chain of operations on arrays too large for the cache fetches them from memory at every link; done stretch by
    stretch it fetches them once.
    """
    flat = [a.reshape(-1) for a in arrays]
    length = backend.chunk_size(flat[0], STRETCH)
    for start in range(0, flat[0].size, length):
        yield tuple(a[start : start + length] for a in flat)

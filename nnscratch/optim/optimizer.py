"""Optimizer: the base class of all optimisers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import FLOATS, at_least, count, short, state_value
from ..parameter import Parameter
from .param_groups import ParamGroup, as_param_groups, saved_settings

CHUNK = 1 << 15
"""The number of elements in a chunk. Its weights, gradient, moments and scratch memory fit into the cache together."""


def positive_in(eps: float, parameters: Iterable[Parameter]) -> None:
    """Raise if `eps` is not 0, but becomes 0 in the dtype of a parameter: a step would then divide 0 by 0."""
    for dtype in {parameter.dtype for parameter in parameters}:
        if eps and not dtype.type(eps):
            raise ValueError(
                f"eps = {eps} is 0 in {dtype}, and the first zero gradient would give NaN: use eps of "
                f"{float(np.finfo(dtype).tiny):.1g} or more, or train in float32"
            )


def takes_lists(update: Callable) -> Callable:
    """Mark an `update` that also works with lists of arrays, because it only calls a `backend.fused` function.

    On a GPU, `Optimizer.step` then passes the lists of all weights, all gradients and so on, and one kernel updates
    them all.
    """
    update.takes_lists = True
    return update


class Optimizer:
    """Base class of all optimisers. An optimiser uses gradients to change parameters.

    Frozen parameters (`Parameter.requires_grad` is False) and their moments do not change.

    A subclass lists the names of its running averages, such as a velocity, in `moments`. A running average has one
    array per parameter, of the parameter's shape, and starts at zero. The subclass defines `update`. Its arguments are
    one chunk of the weights, of the gradient and of each moment, and `step` calls it for every chunk.

    Parameters
    ----------
    parameters : iterable of Parameter, or list of dicts
        The parameters to change. A list of dicts makes parameter groups: each dict has ``"params"``, and optionally
        ``"lr"`` and ``"weight_decay"`` for these parameters.
    lr : float
        The learning rate, 0 or more.
    weight_decay : float, optional
        0 or more. None for an optimiser without weight decay.

    Attributes
    ----------
    parameters : list of Parameter
        The parameters of all groups.
    param_groups : list of dict
        Each has ``"params"``, ``"lr"`` and, with weight decay, ``"weight_decay"``. You may change the numbers.
    steps : int
        The number of calls of `step` so far.
    state : dict
        For each name in `moments`, the list of its arrays, in the order of `parameters`.

    Examples
    --------
    Weight decay for the weights, but not for biases and norms, which are the parameters with one axis:

    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(2, 8, rng=0), nn.LayerNorm(8), nn.Linear(8, 1, rng=1))
    >>> weights = [p for p in model.parameters() if len(p.shape) > 1]
    >>> others = [p for p in model.parameters() if len(p.shape) == 1]
    >>> groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    >>> optimizer = nn.optim.AdamW(groups, lr=1e-3, weight_decay=0.1)
    >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
    [(2, 0.1), (4, 0.0)]

    Write an optimiser that uses only the sign of the gradient:

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
    """True if `update` changes nothing where the gradient is 0. `step` then updates only the rows of `nonzero_rows`."""

    def __init__(
        self, parameters: Iterable[Parameter] | Iterable[ParamGroup], lr: float, weight_decay: float | None = None
    ):
        settings = {"lr": at_least("lr", lr, 0)}
        if weight_decay is not None:
            settings["weight_decay"] = at_least("weight_decay", weight_decay, 0)
        self.param_groups = as_param_groups(parameters, settings)
        self.parameters = [p for group in self.param_groups for p in group["params"]]
        if not self.parameters:
            raise ValueError(f"{type(self).__name__} got no parameters")
        self._settings = {"params", *settings}
        self._group = self.param_groups[0]  # during `step`, the group that is being updated
        self.steps = 0
        self.state: dict[str, list[Array]] = {
            name: [backend.array_module(p.data).zeros_like(p.data) for p in self.parameters] for name in self.moments
        }

    @property
    def lr(self) -> float:
        """The learning rate of the first group. If you set it, all groups get the new value.

        Inside `update`, it is the learning rate of the group of `w`.
        """
        return self._group["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    @property
    def weight_decay(self) -> float:
        """The weight decay of the first group. If you set it, all groups get the new value.

        Inside `update`, it is the weight decay of the group of `w`.
        """
        return self._group["weight_decay"]

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        for group in self.param_groups:
            group["weight_decay"] = value

    def step(self) -> None:
        """Use the gradients to update every parameter in place.

        Raises
        ------
        TypeError
            The model and the moments are on different devices or have different dtypes. Or a gradient is not an array
            of floats.
        ValueError
            A gradient does not have the shape of its parameter, or a setting that you have changed, such as `lr`, is
            out of range. No parameter has changed.
        """
        self.check_settings()
        self._check_devices_and_dtypes()
        gradients = self._gradients()
        self.steps += 1
        numbered = enumerate(self.parameters)
        try:
            for group in self.param_groups:
                self._group = group
                self._update_group([next(numbered) for _ in group["params"]], gradients)
        finally:
            self._group = self.param_groups[0]

    def check_settings(self) -> None:
        """Raise ValueError if a setting is out of range. `step` calls this, since you may change settings at any time.

        A group must also have the same parameters as before, and settings with the same names.

        A subclass with further settings overrides this method.
        """
        for group in self.param_groups:
            if group.keys() != self._settings:
                raise ValueError(f"a parameter group must have {sorted(self._settings)}, got {sorted(map(str, group))}")
            for name in self._settings - {"params"}:
                at_least(name, group[name], 0)
        given = [id(p) for group in self.param_groups for p in group["params"]]
        if given != [id(p) for p in self.parameters]:
            raise ValueError(
                "the parameters of the groups have changed since the optimizer was created: create a new optimizer"
            )

    def _update_group(self, numbered: list[tuple[int, Parameter]], gradients: list[tuple[Array | None, Array]]) -> None:
        """Update these parameters, each given with its number in `parameters`."""
        tasks: list[tuple[Array, ...]] = []
        for k, parameter in numbered:
            rows, g = gradients[k]
            if not parameter.requires_grad:
                continue
            moments = [self.state[name][k] for name in self.moments]
            if rows is not None and self.rests_at_zero:
                self._update_rows(rows, g, parameter.data, moments)
            else:
                tasks += chunks(parameter.data, g if rows is None else parameter.grad, *moments)
        if tasks and backend.launch_bound(tasks[0][0]) and getattr(self.update, "takes_lists", False):
            tasks = [tuple(list(arrays) for arrays in zip(*tasks, strict=True))]
        for task in tasks:  # one thread only: several threads would wait for the interpreter's lock
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
        """Return ``nonzero_rows()`` of every parameter. Raise if a gradient has a wrong shape or a wrong dtype."""
        found = []
        for parameter in self.parameters:
            rows, g = parameter.nonzero_rows()
            if rows is None and getattr(g, "shape", None) != parameter.data.shape:
                raise ValueError(
                    f"{type(self).__name__}: the gradient of parameter {len(found)} must have the shape "
                    f"{parameter.shape}, got {getattr(g, 'shape', type(g).__name__)}"
                )
            if g.dtype not in FLOATS:
                raise TypeError(
                    f"{type(self).__name__}: the gradient of parameter {len(found)} must be floats, got {g.dtype}"
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
        """Use the gradient `g` to change `w` and the moments in place. A subclass defines this method.

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
        """Return ``steps``, ``param_groups`` and, for each moment, its list of arrays. The arrays are not copied.

        As in PyTorch, the ``"params"`` of a group are the numbers of its parameters, not the parameters themselves.
        """
        numbers = {id(p): number for number, p in enumerate(self.parameters)}
        groups = [group | {"params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"steps": self.steps, "param_groups": groups, **{name: list(a) for name, a in self.state.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy the values of a `state_dict` into this optimiser.

        Raises
        ------
        TypeError, ValueError
            `state` is not a dict, or belongs to another optimiser or another model. The optimiser is unchanged.
        """
        expected = {"steps", "param_groups", *self.moments}
        if not isinstance(state, dict):
            raise TypeError(f"{type(self).__name__} expects a dict, got {type(state).__name__}")
        if "lr" in state:  # a state of an older version, which had no parameter groups
            state = {name: value for name, value in state.items() if name != "lr"} | {
                "param_groups": [self.state_dict()["param_groups"][0] | {"lr": state["lr"]}]
            }
        if set(state) != expected:
            came = sorted(map(str, state))
            raise ValueError(f"{type(self).__name__} expects a state with {sorted(expected)}, got {came}")
        moments = {name: self._checked_moment(name, state[name]) for name in self.moments}
        steps = count("steps", state["steps"])
        groups = saved_settings(self.param_groups, state["param_groups"])
        self.steps = steps
        for own, given in zip(self.param_groups, groups, strict=True):
            own.update(given)
        for name, arrays in moments.items():
            for own, given in zip(self.state[name], arrays, strict=True):
                own[...] = backend.to_device(given, backend.device_of(own))

    def _checked_moment(self, name: str, arrays: Any) -> list[Array]:
        """Return the arrays of one moment in the dtypes of this optimiser, or raise if they do not fit."""
        if not isinstance(arrays, (list, tuple)):
            raise TypeError(f"{name} must be a list of arrays, got {short(arrays)}")
        if [getattr(a, "shape", None) for a in arrays] != [p.shape for p in self.parameters]:
            raise ValueError(f"the shapes of {name} are not those of this optimizer's parameters")
        checked = [state_value(name, a, own) for a, own in zip(arrays, self.state[name], strict=True)]
        if name in self.squares and any(bool((a < 0).any()) for a in checked):
            raise ValueError(f"{name} holds negative values, but it must be a sum or a mean of squares")
        return checked


def chunks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the same chunk of every array, as flat views, one chunk after another.

    If an array is larger than the cache, every operation on the whole array reads it from main memory again. If all
    operations run on one chunk before the next, the array is read from main memory once.
    """
    flat = tuple(a.reshape(-1) for a in arrays)
    length = backend.chunk_size(flat[0], CHUNK)
    if flat[0].size <= length:
        yield flat
        return
    for start in range(0, flat[0].size, length):
        yield tuple(a[start : start + length] for a in flat)

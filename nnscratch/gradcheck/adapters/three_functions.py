"""ThreeFunctionsAdapter: the model, its loss and its gradients as three functions, as in deeplearning.ai's courses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import has_no_axes, is_array, is_float
from .base import NO_CACHE
from .calls import bind_arguments, defaults_of, optional_names, required_names
from .functions import PairAdapter
from .matching import is_target_name
from .names import function_name
from .refusals import pair_refusal, signature_text

TARGETS = ("y", "Y", "t", "target", "targets", "label", "labels", "y_true", "truth")


class ThreeFunctionsAdapter(PairAdapter):
    """Three functions: ``AL, caches = forward(X, parameters)``, ``cost(AL, Y)`` and ``backward(AL, Y, caches)``.

    The inputs are the arguments of forward, followed by the arguments of the cost without the output of forward.

    The name of an argument of backward decides which value this argument receives. For example, ``X`` and ``Y`` receive
    the inputs with these names, and ``caches`` receives the cache. The first argument with another name, such as
    ``AL``, receives the output. Backward returns the gradients of the cost, as a dictionary, a tuple or one array. A
    softmax and a loss in two separate functions also have this form.

    Examples
    --------
    >>> import numpy as np
    >>> def softmax(z):
    ...     e = np.exp(z - z.max())
    ...     return e / e.sum()
    >>> def cross_entropy(p, t):
    ...     return -np.sum(t * np.log(p))
    >>> z, t = np.zeros(2), np.array([0, 1])
    >>> adapter = ThreeFunctionsAdapter(softmax, cross_entropy, lambda p, t: p - t, (z, t))
    >>> float(adapter.run()[0].round(4)), adapter.gradients((1.0,))
    (0.6931, {'z': array([ 0.5, -0.5])})
    """

    returns_cache = False

    def __init__(self, forward: Callable, cost: Callable, backward: Callable, inputs: tuple):
        super().__init__(forward, backward, inputs)
        self.source.append(cost)
        self.cost = cost
        self.title = f"{function_name(cost)} of {function_name(forward)}"
        names = names_with_options(forward, cost, len(inputs))
        self.forward_count = len(inputs) if names is None else min(len(names), len(inputs))
        if names is not None and len(inputs) > len(names):
            extra = len(inputs) - len(names)
            more = [n for n in [*(required_names(cost) or []), *optional_names(cost)] if n not in names]
            if len(more) > extra:
                # One of the names in `more` is the cost's argument for the output of forward. This output is not an
                # input, so its name must be left out. First keep only the names of targets. If too many names remain,
                # leave out the names of forward's outputs, or y, or else the first name.
                targets = [n for n in more if is_target_name(n)]
                ways = targets, [n for n in targets if n not in self.output_names], without_y(targets)
                more = next((way for way in ways if len(way) == extra), more[1:])
            more += [f"target[{i}]" for i in range(extra)]
            self.input_names = [*names, *more[:extra]]

    def cached(self) -> Any:
        return self.cache if self.cache is not NO_CACHE else ()

    def run(self) -> tuple:
        result = self.forward(*self.inputs[: self.forward_count])
        *ys, cache = result if isinstance(result, tuple) and len(result) > 1 else (result, NO_CACHE)
        self.cache = ys, cache
        by_name = self._inputs_by_name()
        names = required_names(self.cost) or ["y", *self.input_names[self.forward_count :]]
        optional = {n: by_name[n] for n in optional_names(self.cost) if n in by_name}
        own = set(names) | set(self.input_names[self.forward_count :])
        of_cost = {n: v for n, v in by_name.items() if n in own and n not in optional}
        # A method may take only the targets, because it reads the output from an attribute of the object.
        only_targets = inspect.ismethod(self.cost) and names == self.input_names[self.forward_count :]
        if set(names) <= of_cost.keys() and not only_targets:  # the first argument gets the output
            del of_cost[names[0]]
        arguments = bind_arguments(names, of_cost, ys, {})
        if arguments is None:
            raise TypeError(
                f"{signature_text(self.cost)} cannot be called with the output of "
                f"{function_name(self.forward)} and the inputs {', '.join(self.input_names)}: after the inputs of "
                f"{signature_text(self.forward)}, give the other arguments of the loss"
            )
        loss = self.cost(*arguments, **optional)
        if isinstance(loss, tuple) and len(loss) > 1 and is_float(loss[0]):  # for example (loss, data_loss, penalty)
            self.add_note(
                f"{function_name(self.cost)} returns {len(loss)} values; the checker uses the first as the loss"
            )
            loss = loss[0]
        if is_array(loss) and loss.ndim == 1 and loss.size > 1:
            self.add_note(f"{function_name(self.cost)} returns one loss for each sample; the checker uses their mean")
            loss = np.mean(loss)
        if not is_float(loss) or not (has_no_axes(loss) or loss.size == 1):
            raise TypeError(f"{signature_text(self.cost)} must return one number, the loss")
        return (loss.reshape(()) if getattr(loss, "ndim", 0) else loss,)

    def _inputs_by_name(self) -> dict[str, Any]:
        """Return the inputs by name: first the inputs of the loss, then those of the model.

        Add the default values of those arguments of forward that backward or the loss takes too.
        """
        pairs = list(zip(self.input_names, self.inputs, strict=True))
        wanted = [*(self.backward_names or []), *(required_names(self.cost) or [])]
        by_name = dict(pairs[self.forward_count :] + pairs[: self.forward_count])
        return by_name | defaults_of(self.forward, [n for n in wanted if n not in by_name])

    def gradients(self, dys: tuple) -> dict[str, Any]:
        return self.match_to_inputs(self.call_backward())

    def call_backward(self) -> Any:
        """Choose a value for each argument of backward by its name, call backward, and return its result."""
        by_name = self._inputs_by_name()
        optional = {n: by_name[n] for n in optional_names(self.backward) if n in by_name}
        names = ["the output", *by_name] if self.backward_names is None else self.backward_names
        # Backward may use another name for the targets than the loss, as in loss(y, target) and backward(labels).
        if len(self.inputs) > self.forward_count:
            target = self.input_names[self.forward_count]
            known = {*by_name, *self.output_names, *(required_names(self.cost) or [])}  # in loss(y, t), y is the output
            other = [n for n in names if n in TARGETS and n not in known]
            if other and target not in names:
                by_name[without_y(other)[-1]] = by_name.pop(target)
        ys, cache = self.cache
        arguments = bind_arguments(names, by_name, ys, dict(zip(self.output_names, ys, strict=False)), cache)
        if arguments is None:
            reason = "it takes more arguments than the checker has values"
            raise pair_refusal(self.forward, self.backward, self.input_names, reason)
        return self.backward(*arguments, **optional)


def without_y(targets: list[str]) -> list[str]:
    """Return the names without y and Y, if there are other names: in ``loss(t, y)``, y is the output."""
    return [n for n in targets if n not in ("y", "Y")] or targets


def names_with_options(forward: Callable, cost: Callable, count: int) -> list[str] | None:
    """Return the names of the arguments that forward receives if the user gives `count` inputs.

    If more inputs remain than the cost takes, forward receives its optional arguments too. Return None if the names are
    not known.

    Examples
    --------
    >>> names_with_options(lambda X, parameters, keep_prob=0.5: X, lambda A, Y: 0.0, 4)
    ['X', 'parameters', 'keep_prob']
    """
    names, of_cost = required_names(forward), required_names(cost)
    if names is None or of_cost is None:
        return names
    options = optional_names(forward)
    taken = [n for n in [*of_cost, *optional_names(cost)] if n not in names and n not in options]
    # Usually, the cost takes the output and the targets. But a method loss(Y) takes only the targets. And if forward
    # takes x, cost(x, y) takes an input and the targets.
    only_target = len(taken) == 1 and is_target_name(taken[0])
    targets = len(taken) if only_target else max(len(taken) - 1, 0)
    more = count - len(names) - targets
    return [*names, *options[: max(more, 0)]]


def is_three_functions(subject: Any) -> bool:
    """Return True for a tuple or list of three functions."""
    return isinstance(subject, (tuple, list)) and len(subject) == 3 and all(callable(part) for part in subject)

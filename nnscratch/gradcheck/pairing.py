"""Pairing: find the parameters in the checked objects, and the gradient of each parameter.

Run forward and backward once. The candidates are the arrays that forward reads and does not replace. A candidate is a
parameter in one of these three cases:

1  Backward computes an array with the name of the candidate's gradient, such as dW for W (`gradient_names.py`). This
   array may be an attribute or an item of an object of the code, or a value that backward returns.
2  Backward returns gradients in addition to those of the inputs. The number of these gradients equals the number of
   candidates that do not have a gradient yet.
3  Exactly one array from backward has the candidate's shape and the right derivatives along two random directions.

If the names of several arrays fit, derivatives along the two random directions show which array is the gradient. If no
single array passes this test, a note names the arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .adapters import Adapter, FoundParameter, FoundParametersAdapter, in_convention, make_adapter
from .adapters.base import is_transpose
from .adapters.matching import is_number
from .adapters.numbers import number_subject
from .candidates import (
    Places,
    changes_in_place,
    copied,
    gradient_name,
    is_unchanged,
    own_numbers,
    shares_memory_with_any,
)
from .gradient_names import closeness, gradient_of
from .lazy_weights import start_with_weights
from .learned_names import is_setting_name, name_of
from .nested import array_module, is_array, leaves
from .number_inputs import checks_numbers, numbers_as_arrays
from .places import is_outside, place_name, put_at, short_names
from .projection import projection_weights, weighted_sum, weights_like_outputs
from .settled_losses import choose_loss, settle_losses
from .snapshot import Snapshot, Steps, equal_arrays
from .updated_weights import with_updated_weights

STEP = 1e-5


def complete_adapter(
    subject: Any, inputs: tuple, loss: Any = None, targets: Any = (), convention: str = "sum"
) -> tuple[Adapter, Snapshot, Snapshot]:
    """Return an adapter for `subject` with its parameters, and two snapshots of the state of `subject`.

    The first snapshot records the current state of `subject`, and the second the state in which the check starts. The
    states differ if the first forward creates the weights. The arguments are those of `check_gradients`.
    """
    adapter = make_adapter(subject, inputs, loss, targets)
    before = Snapshot(adapter.source, inputs, targets)
    with np.errstate(all="ignore"):
        if checks_numbers(adapter, before):
            adapter = make_adapter(number_subject(subject), numbers_as_arrays(adapter, inputs), loss, targets)
            before = Snapshot(adapter.source, inputs, targets)
        start = start_with_weights(adapter, before)
        adapter = choose_loss(with_updated_weights(with_found_parameters(settle_losses(adapter), start), start))
        return in_convention(adapter, convention), before, start


def with_found_parameters(adapter: Adapter, before: Snapshot) -> Adapter:
    """Search the objects of `adapter` for parameters. Return an adapter with these parameters.

    At the end, restore the state of the code that `before` recorded.
    """
    if adapter.accumulates:  # a Module lists its parameters, so no search is necessary
        return adapter
    try:
        found = Search(adapter, before).found()
    except Exception as error:  # the checked code may raise any error, and the check will raise it again
        adapter.add_note(f"the search for parameters failed ({type(error).__name__}: {error})")
        return adapter
    finally:
        before.restore()
    return FoundParametersAdapter(adapter, found) if found else adapter


class Search:
    """One search for parameters and their gradients.

    Attributes
    ----------
    candidates : dict of Steps to object
        The arrays and numbers that forward reads and does not replace. Each key is the place of a value: the path to
        the value from the checked object (places.py).
    produced : dict of Steps to object
        The new or changed arrays and numbers after backward, and the values that backward returns.
    kept : dict of Steps to object
        The arrays and numbers that backward did not change.
    borrowed : set of Steps
        The places in `produced` whose array shares memory with an input x, or with dx. For example, after
        ``self.dw = self.x`` in backward, self.dw is a borrowed array. A borrowed array counts as the gradient of a
        parameter only if all words of both names fit (`closeness` 2 or 3): ``fc1.dW`` fits ``fc1.W``, but not ``W``.
    """

    def __init__(self, adapter: Adapter, before: Snapshot):
        self.adapter, self.before = adapter, before
        self.candidates: Places = {}
        self.produced: Places = {}
        self.kept: Places = {}
        self.borrowed: set[Steps] = set()
        listed = adapter.parameters()  # incomplete if a property `grads` raises an error before the first backward
        known, inputs = list(listed.values()), [leaf for _, leaf in leaves("", adapter.inputs)]
        held = own_numbers(before, known + inputs)
        if not held:
            return
        ys = adapter.run()
        self.weights = projection_weights(ys)
        after_forward = Snapshot(adapter.source)
        now = dict(after_forward.places)
        same = {k: v for k, v in held.items() if now.get(k) is v and is_unchanged(before, v)}
        named = {g for g, v in same.items() if any(v is w and closeness(k, g) for k, w in same.items())}
        self.candidates = {k: v for k, v in same.items() if k not in named}  # if W and dW are one array, keep only W
        given = adapter.gradients(weights_like_outputs(self.weights, ys))
        late = adapter.parameters().keys() - listed.keys()
        known += [g for name, part in given.items() if name in listed for _, g in leaves("", part)]
        inputs += [g for name, part in given.items() if name not in {*listed, *late} for _, g in leaves("", part)]
        after_backward, copies = Snapshot(adapter.source), {}  # one copy of each array, even if it has several places
        for steps, value in own_numbers(after_backward, known).items():
            unchanged = now.get(steps) is value and is_unchanged(after_forward, value)
            if not shares_memory_with_any(value, inputs):
                (self.kept if unchanged else self.produced)[steps] = copies.setdefault(id(value), copied(value))
            elif not unchanged:
                self.borrowed.add(steps)
                self.produced[steps] = copies.setdefault(id(value), copied(value))
        for steps, value in Snapshot(adapter.surplus).places:
            self.produced[(("returned", None), *steps[1:])] = copies.setdefault(id(value), copied(value))
        self.candidates = {k: v for k, v in self.candidates.items() if self._can_change(k)}
        changed = [k for k in self.candidates if k in self.produced]  # gradients, or weights that backward updates
        if changed and not self._moves(*changed):
            self.candidates = {k: v for k, v in self.candidates.items() if k not in changed}
        elif len(changed) > 1:
            self.candidates = {k: v for k, v in self.candidates.items() if k not in changed or self._moves(k)}
        self._drop_overwritten()

    def _can_change(self, steps: Steps) -> bool:
        """Return True if the search can put another value at the place `steps`."""
        value = self.candidates[steps]
        if not changes_in_place(value):
            try:
                put_at([self.adapter.source], steps, value)
            except Exception:  # for example, an item of a tuple cannot be replaced
                return False
        return True

    def _drop_overwritten(self) -> None:
        """Drop the arrays in `candidates` that forward overwrites with the same values, such as copies of an input."""
        self.before.restore()
        arrays = {id(value): value for value in self.candidates.values() if changes_in_place(value)}
        for value in arrays.values():
            value += 1e-3 * (1 + abs(value))
        shifted = {k: v.copy() for k, v in self.candidates.items() if id(v) in arrays}
        try:
            self.adapter.run()
            overwritten = {k for k, v in shifted.items() if not equal_arrays(self.candidates[k], v)}
        except Exception:  # forward fails with the changed values, which shows that it reads these arrays
            overwritten = set()
        self.before.restore()
        self.candidates = {k: v for k, v in self.candidates.items() if k not in overwritten}

    def found(self) -> list[FoundParameter]:
        """Return the parameters, each with the place of its gradient."""
        pairs: dict[Steps, Steps] = {}
        for steps in self.candidates:
            choice = self._by_name(steps)
            if choice is not None:
                pairs[steps] = choice
        self._drop_doubtful(pairs)
        pairs |= self._by_returned_name(pairs)
        pairs |= self._by_order(pairs)
        pairs |= self._by_shape(pairs)
        groups = self._groups(pairs)
        names = short_names(list(groups), set(self.adapter.parameters()) | set(self.adapter.float_inputs()))
        found = []
        for steps, gradients in groups.items():
            value = self.candidates[steps]
            integers = is_array(value) and value.dtype.kind in "iu"
            if integers:
                self.adapter.add_note(
                    f"{place_name(steps)} contains integers, and was checked as float64. Make it an array of floats: "
                    f"an update of integers, such as {place_name(steps)} -= lr * gradient, raises an error"
                )
            found.append(FoundParameter(names[steps], steps, gradients, number=not changes_in_place(value)))
        return found

    def _groups(self, pairs: dict[Steps, Steps]) -> dict[Steps, list[tuple[Steps, bool]]]:
        """Return the gradients of each array as a list of pairs (place, True if the gradient must be transposed).

        The same array may be stored at several places. For example, encoder.W and decoder.W may be one array that has
        two gradients, encoder.dW and decoder.dW. In the result, the key of an array is the first of its places.
        """
        groups: dict[Steps, list[tuple[Steps, bool]]] = {}
        for steps, gradient in pairs.items():
            value = self.candidates[steps]
            for first in groups:
                other = self.candidates[first]
                if is_array(value) and (other is value or is_transpose(other, value)):
                    groups[first].append((gradient, other is not value))
                    break
            else:
                groups[steps] = [(gradient, False)]
        for first, gradients in groups.items():
            returned = [(g, t) for g, t in gradients if g[0][0] == "returned"]
            if returned:  # a gradient that backward returns includes all uses of the parameter
                groups[first] = returned
            elif not all(np.array_equal(self._value(gradients[0][0]), self._value(g)) for g, _ in gradients):
                # One of these arrays may be the whole gradient, or each array may be the part from one use.
                alone = next(([(g, t)] for g, t in gradients if not t and self._is_gradient(first, g)), None)
                groups[first] = alone or gradients
                if not alone:
                    count = f"is used {len(gradients)} times"
                    self.adapter.add_note(f"{place_name(first)} {count}, so the checker added its gradients")
            else:
                groups[first] = gradients[:1]
        return groups

    def _by_name(self, steps: Steps) -> Steps | None:
        """Return the place of the gradient of the array at `steps`, if an array has the fitting name: dw for w."""
        value = self.candidates[steps]
        careful = is_outside(steps) or is_setting_name(name_of(steps)) or not is_array(value) or value.dtype.kind != "f"
        ranked: dict[int, list[Steps]] = {}
        for gradient, given in self.produced.items():
            rank = 0 if gradient in self.candidates else closeness(steps, gradient)
            if rank > (gradient in self.borrowed):  # a borrowed array needs a closeness of 2 or 3
                fits = np.shape(given) == np.shape(value)
                ranked.setdefault(2 * rank + fits, []).append(gradient)
        if not ranked and not careful:  # backward may have left self.dW unchanged
            for gradient in self.kept:
                rank = closeness(steps, gradient)
                if rank > 1 and gradient not in self.produced and np.shape(self.kept[gradient]) == np.shape(value):
                    if gradient not in self.candidates or not self._moves(gradient):
                        ranked.setdefault(rank, []).append(gradient)
        least = 3 if is_outside(steps) and np.ndim(value) else 4  # self.cache["dW"] for a global W has the rank 3
        if not ranked or (careful and max(ranked) < least):
            return None
        if is_outside(steps) and not self._moves(steps):  # skip a global W that forward does not read
            return None
        options = ranked[max(ranked)]
        options = list({id(self._value(g)): g for g in reversed(options)}.values())[::-1]
        if len(options) == 1:
            return options[0]
        fitting = [g for g in options if self._is_gradient(steps, g)]
        names = " and ".join(gradient_name(g) for g in options)
        if len(fitting) == 1:
            others = " and ".join(gradient_name(g) for g in options if g not in fitting)
            self.adapter.add_note(
                f"{gradient_name(fitting[0])} is the gradient of {place_name(steps)}; the name of {others} fits "
                f"too, but the values are wrong"
            )
            return fitting[0]
        self.adapter.add_note(f"{names} have names that fit the gradient of {place_name(steps)}")
        return fitting[0] if fitting else None

    def _value(self, gradient: Steps) -> Any:
        return self.produced.get(gradient, self.kept.get(gradient))

    def _drop_doubtful(self, pairs: dict[Steps, Steps]) -> None:
        """If a gradient is paired with several arrays, keep the pair whose names fit best, or whose derivatives fit."""
        for gradient in set(pairs.values()):
            claims = list({id(self.candidates[s]): s for s, g in pairs.items() if g == gradient}.values())
            best = max(closeness(s, gradient) for s in claims)
            first = [s for s in claims if closeness(s, gradient) == best]
            if len(first) > 1:
                first = [s for s in claims if self._is_gradient(s, gradient)]
            for steps in claims:
                if steps not in first[:1]:
                    del pairs[steps]

    def _rest(self, pairs: dict[Steps, Steps]) -> list[Steps]:
        """Return the places of arrays that may be parameters, but have no gradient yet."""
        taken = {id(self.candidates[s]) for s in pairs}
        gradients = {id(self._value(g)) for g in pairs.values()}
        return [
            steps
            for steps, value in self.candidates.items()
            if is_array(value) and value.dtype.kind == "f" and id(value) not in taken
            if not is_outside(steps) and not is_setting_name(name_of(steps)) and steps not in pairs.values()
            if id(value) not in gradients
        ]

    def _by_returned_name(self, pairs: dict[Steps, Steps]) -> dict[Steps, Steps]:
        """Pair a Python number, such as self.alpha, with its gradient dalpha, a number that backward returns.

        If self.alpha is an array, pair it too. The check then reports that its gradient has the wrong shape.
        """
        surplus, known = self.adapter.surplus, self.adapter.returned_names()
        found: dict[Steps, Steps] = {}
        if not isinstance(surplus, (tuple, list)) or len(known) < len(surplus):
            return found
        for k, (name, gradient) in enumerate(zip(known[len(known) - len(surplus) :], surplus, strict=True)):
            if not name or not is_number(gradient):
                continue
            for steps in sorted(self.candidates, key=lambda s: np.ndim(self.candidates[s])):  # numbers come first
                unpaired = steps not in pairs and steps not in found
                if unpaired and name_of(steps) in gradient_of(name) and self._moves(steps):
                    found[steps] = (("returned", None), ("item", k))
                    break
        return found

    def _by_order(self, pairs: dict[Steps, Steps]) -> dict[Steps, Steps]:
        """Pair the first array of `_rest` with the first additional gradient that backward returns, and so on.

        If all shapes are different, pair each array with the gradient of its shape instead.
        """
        taken = {id(self._value(g)) for g in pairs.values()}
        surplus = [g for g, v in self.produced.items() if g[0][0] == "returned" and id(v) not in taken]
        if not surplus or isinstance(self.adapter.surplus, dict):
            return {}
        rest = self._rest(pairs)
        if len(rest) != len(surplus):
            rest = [steps for steps in rest if self._moves(steps)]
        if len(rest) != len(surplus):
            self.adapter.add_note(
                f"backward returns {len(surplus)} more gradients than there are inputs, and the checker does not know "
                f"to which weights they belong: store the gradient of self.W in self.dW, or use self.params and "
                f"self.grads"
            )
            return {}
        shapes = [np.shape(self.candidates[s]) for s in rest]
        given = [np.shape(self.produced[g]) for g in surplus]
        if shapes != given and sorted(shapes) == sorted(given) and len(set(shapes)) == len(shapes):
            return {steps: surplus[given.index(shape)] for steps, shape in zip(rest, shapes, strict=True)}
        if len(set(shapes)) < len(shapes):
            names = ", ".join(place_name(s) for s in rest)
            self.adapter.add_note(f"the gradients that backward returns were assigned in this order: {names}")
        return dict(zip(rest, surplus, strict=True))

    def _by_shape(self, pairs: dict[Steps, Steps]) -> dict[Steps, Steps]:
        """Pair each array of `_rest` with its gradient, if only one array of its shape has the right derivatives."""
        found: dict[Steps, Steps] = {}
        for steps in self._rest(pairs):
            shape = self.candidates[steps].shape
            same = [g for g, v in self.produced.items() if np.shape(v) == shape and g not in self.candidates]
            same = [g for g in same if g not in (*pairs.values(), *found.values(), *self.borrowed)]
            same = list({id(self.produced[g]): g for g in reversed(same)}.values())  # only one place for each array
            fitting = [g for g in same if shape and self._is_gradient(steps, g)]
            if len(fitting) == 1:
                found[steps] = fitting[0]
                self.adapter.add_note(f"the gradient of {place_name(steps)} is {gradient_name(fitting[0])}")
            elif len(same) == 1 and shape and self._moves(steps):
                self.adapter.add_note(
                    f"{gradient_name(same[0])} has the shape of {place_name(steps)}, but is not its gradient"
                )
        return found

    # --- measurements ------------------------------------------------------------------------------------------------

    def _f(self, changes: Places) -> float:
        """Add each item of `changes` to the value at its place, and return f. Afterwards, restore the old values."""
        for steps, change in changes.items():
            value = self.candidates[steps]
            if changes_in_place(value):
                value += array_module(value).asarray(change)
            else:
                put_at([self.adapter.source], steps, np.asarray(value) + change)
        try:
            return weighted_sum(self.weights, self.adapter.run())
        finally:
            self.before.restore()

    def _moves(self, *all_steps: Steps) -> bool:
        """Return True if random changes of the values at the places `all_steps` change f."""
        start, rng = self._f({}), np.random.default_rng(1)
        try:
            for size in (1e-3, 0.1):
                changes = {}
                for steps in all_steps:
                    value = np.abs(copied(self.candidates[steps]))
                    changes[steps] = size * rng.uniform(0.5, 1, np.shape(value)) * (1 + value)
                if self._f(changes) != start:
                    return True
            return False
        except Exception:  # forward fails with the changed values, which shows that it reads these arrays
            return True

    def _is_gradient(self, steps: Steps, gradient: Steps) -> bool:
        """Return True if the array at `gradient` is the gradient of the array at `steps`.

        For this test, compare derivatives along two random directions.
        """
        given, rng = np.asarray(self._value(gradient)), np.random.default_rng(2)
        value = self.candidates[steps]
        if given.shape != np.shape(value):
            return False
        single = is_array(value) and value.dtype.itemsize < 8
        step, tolerance = (1e-2, 3e-2) if single else (STEP, 1e-5)
        for _ in range(2):
            v = rng.standard_normal(given.shape)
            along = float((given * v).sum())
            slope = (self._f({steps: step * v}) - self._f({steps: -step * v})) / (2 * step)
            if not abs(slope - along) < tolerance * abs(along):  # this also excludes a gradient of zeros
                return False
        return True

"""check_gradients: does backward say what differences say?

1  copy the inputs, write down all the target holds, go to float64
2  f = <R, outputs>; is forward deterministic? what traps are there?
3  backward once: the analytic gradients
4  differences for every element (or some, or a few directions): the numeric gradients, each with its uncertainty;
   the complex step in their place, where forward takes complex numbers and the differences confirm it
5  compare element by element:

       right         |a - n| <= rtol * max(|a|, |n|) + what differences cannot tell
       wrong         otherwise
       cannot tell   right, but only because differences can tell so little there

   where there is a kink, n is the interval between the one-sided derivatives
6  for what is wrong, find the mistake that explains it (diagnosis)
7  put everything back
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backend
from .complex_step import complex_derivatives
from .isolation import Snapshot, recast
from .numerical import Derivative, differentiate, estimate, one_sided, random_direction
from .objective import NotDeterministic, Objective
from .report import Entry, GradientReport, Trap
from .targets import ModuleTarget, Target, make_target
from .traps import accumulation_traps, backward_traps, forward_traps, stale_traps
from .tree import is_array, is_float, transform

MODES = ("full", "sampled", "directional")
DIAGNOSED = 3  # directions that a diagnosis is tested along
CLOSER = 300  # forward passes after which no further array is looked at closer


def check_gradients(
    target: Any,
    /,
    *inputs: Any,
    loss: Any = None,
    targets: Any = (),
    mode: str = "full",
    samples: int = 20,
    directions: int = 2,
    rtol: float | None = None,
    rng: None | int | np.random.Generator = 0,
    only: Sequence[str] | None = None,
    diagnose: bool = True,
) -> GradientReport:
    """Check the gradients of a hand-written backward pass against finite differences.

    Parameters
    ----------
    target : Module, pair of functions, object, or function
        A Module; a pair ``(forward, backward)`` in CS231n's form; an object with ``forward``, ``backward`` and
        ``params``/``grads`` (or ``self.W`` beside ``self.dW``); a scalar function with its gradient, as a pair or as
        one function that returns both. It comes back exactly as it was, whatever happens.
    *inputs : array, nest of arrays, or anything else forward takes
        Gradients are checked for every array of floats among them; integers and other things are passed on.
    loss : Module, optional
        For a Module: checks ``loss(target(*inputs), *targets)``. Further outputs (a recurrent state) are counted in
        with random weights, so that a gradient flows into them too.
    targets : array or tuple of arrays
        What the loss compares with.
    mode : {"full", "sampled", "directional"}
        Every element; `samples` elements of each array, its extremes among them; or `directions` random directions
        for each array, whose cost does not grow with the size. What is wrong there is measured along three, to find
        out why; where nothing explains it, at up to `samples` elements.
    samples, directions : int
    rtol : float, optional
        How much an element may differ, relative to itself: 1e-6 in float64, 1e-2 where the target insists on float32.
    rng : None, int or numpy.random.Generator
        Draws the projection, the samples and the directions.
    only : sequence of str, optional
        Names of the arrays to check; all by default.
    diagnose : bool
        Look for the mistake behind a wrong gradient.

    Returns
    -------
    GradientReport
        ``report.ok``, ``report.max_error``, ``report["weight"]``; printing it shows the table.

    Raises
    ------
    TypeError, ValueError
        The target is of no form known, or an argument makes no sense. What the target's own code raises comes through.

    Examples
    --------
    >>> import nnscratch as nn
    >>> report = check_gradients(nn.Linear(3, 2, rng=0), np.ones((4, 3)))
    >>> report.ok, report["weight"].shape
    (True, (2, 3))

    A pair of functions, with a mistake in it:

    >>> def forward(x, w):
    ...     return x @ w, (x, w)
    >>> def backward(dout, cache):
    ...     x, w = cache
    ...     return dout @ w.T, x.T @ dout / len(x)
    >>> r = np.random.default_rng(0)
    >>> report = check_gradients((forward, backward), r.normal(size=(4, 3)), r.normal(size=(3, 2)))
    >>> report["x"].verdict, report["w"].verdict, report["w"].diagnosis.mistake
    ('right', 'wrong', 'scaled by a constant')
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    for name, value in (("samples", samples), ("directions", directions)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}")
    if rtol is not None and not 0 < rtol < 1:
        raise ValueError(f"rtol must lie between 0 and 1, got {rtol!r}")
    rng = backend.generator(rng)
    started = time.perf_counter()
    checked = make_target(target, inputs, loss, targets)
    before = Snapshot(checked.source, inputs, targets)
    try:
        with np.errstate(all="ignore"):  # what is not finite is reported; x may be moved out of a domain
            report = Check(checked, before, mode, samples, directions, rtol, rng, only, diagnose).report()
    finally:
        before.restore()
    report.seconds = time.perf_counter() - started
    return report


class Check:
    """One run of `check_gradients`."""

    def __init__(
        self,
        target: Target,
        before: Snapshot,
        mode: str,
        samples: int,
        directions: int,
        rtol: float | None,
        rng: np.random.Generator,
        only: Sequence[str] | None,
        diagnose: bool,
    ):
        self.target, self.before, self.mode = target, before, mode
        self.samples, self.directions, self.rtol, self.rng = samples, directions, rtol, rng
        self.only, self.diagnose = only, diagnose

    def report(self) -> GradientReport:
        report = GradientReport(self.target.title, mode=self.mode, notes=self.target.notes)
        if isinstance(self.target, ModuleTarget):
            self.target.prepare()
        try:
            objective = self._in_float64(report)
        except NotDeterministic as error:
            report.traps.append(Trap("not deterministic", str(error), "cannot tell"))
            return report
        if objective.replayed:
            report.notes.append(
                "forward draws random numbers; the same ones were replayed at every call"
                if objective.replayed == "draws"
                else "forward keeps state from call to call; it was put back before every call"
            )
        report.traps += forward_traps(objective)
        if any(trap.severity == "cannot tell" for trap in report.traps):
            return report
        report.traps += backward_traps(objective)
        analytic = objective.analytic()
        report.traps += accumulation_traps(objective, analytic)
        if not any(trap.kind == "backward writes into its input" for trap in report.traps):
            report.traps += stale_traps(objective)
        if not analytic:
            raise ValueError(
                f"{self.target.title} has no parameters and no arrays of floats among its inputs: there is nothing to "
                f"check (a number is passed on as it is; numpy.array(3.0) is an array)"
            )
        unknown = sorted(set(self.only or ()) - set(analytic))
        if unknown:
            raise ValueError(f"only= names {unknown}; there are {', '.join(analytic)}")
        self.objective = objective
        self.centre = objective()
        self.size = sum(float(np.abs(terms).sum()) for terms in objective.terms())
        self.evaluations, self.no_complex, self.complex = 0, False, False
        self.near_zero = 0.0  # the largest |f| met, where f itself is zero: what there is to compare with
        self.gradients: dict[str, np.ndarray] = {}  # what backward said, whole
        self.slopes: dict[str, list[tuple[np.ndarray, Derivative]]] = {}  # in directional mode, of the wrong arrays
        for name, array in objective.variables.items():
            if name not in analytic:
                report.notes.append(f"{name}: the target gives no gradient for it, so none was checked")
            elif self.only is None or name in self.only:
                report.entries[name] = self._entry(name, array, analytic[name])
        wrong = [entry for entry in report.entries.values() if entry.verdict == "wrong"]
        if wrong and self.mode != "directional":
            self._second_look(wrong, analytic)
            wrong = [entry for entry in wrong if entry.verdict == "wrong"]
        if wrong and self.diagnose:
            from .diagnosis import diagnose_entries  # only now: most checks need none of it

            diagnose_entries(report, objective, self.gradients, self.slopes)
            enough = self.evaluations + CLOSER
            for name in self.slopes:
                if not report[name].diagnoses and shape_fits(report[name]) and self.evaluations < enough:
                    report[name].reason += self._look_closer(name)
        report.evaluations = self.evaluations
        if self.complex:
            report.method = "complex step in float64, confirmed by central differences"
        if self.itemsize < 8:
            report.method = "central differences in float32"
            report.notes.append("the outputs are float32 even for float64 inputs: judged by float32's limits")
        for name, entry in report.entries.items():
            if entry.verdict == "right" and name in self.target.parameters() and not np.any(entry.analytic):
                words = f"{name}: its gradient is zero everywhere: it does not move these outputs"
                report.traps.append(Trap("gradient never moves", words, "note"))
        return report

    def _in_float64(self, report: GradientReport) -> Objective:
        """The objective, in float64 if the target can be brought there; else as the target came."""
        target = self.target
        narrow = [a for a in self.before.arrays() if a.dtype.kind == "f" and a.dtype.itemsize < 8]
        inputs, old_targets = target.inputs, getattr(target, "targets", ())
        state = self.rng.bit_generator.state
        narrow += [a for a in target.input_leaves().values() if a.dtype.itemsize < 8]
        try:
            first = Objective(target, self.rng)
            own_dtype, ran = backward_traps(first), True
        except (TypeError, ValueError):
            if not narrow:
                raise
            own_dtype, ran = [], False  # float32 weights and float64 inputs: may well work once both are float64
        # seen in the target's own dtype, before float64 hides it
        report.traps += [trap for trap in own_dtype if trap.kind == "wrong dtype"] if narrow else []
        if not narrow:
            self.itemsize = smallest(first)
            return first
        self.before.restore()
        recast(self.before, np.float64)
        target.inputs = transform(widen, inputs)
        if isinstance(target, ModuleTarget):
            target.targets = transform(widen, old_targets)
            target.prepare()
        self.rng.bit_generator.state = state
        try:
            objective = Objective(target, self.rng)
            self.itemsize = smallest(objective)
            return objective
        except (TypeError, ValueError) as error:
            if isinstance(error, NotDeterministic) or not ran:  # in neither dtype does it run
                raise
            self.before.restore()
            target.inputs = inputs
            if isinstance(target, ModuleTarget):
                target.targets = old_targets
                target.prepare()
            report.notes.append(f"cannot be cast to float64 ({type(error).__name__})")
            self.rng.bit_generator.state = state
            objective = Objective(target, self.rng)
            self.itemsize = smallest(objective)
            return objective

    # --- one array -----------------------------------------------------------------------------------------------

    def f(self) -> float:
        self.evaluations += 1
        value = self.objective()
        if self.size == 0 and np.isfinite(value):
            self.near_zero = max(self.near_zero, abs(value))
        return value

    def _entry(self, name: str, array: Any, analytic: Any) -> Entry:
        if analytic is None:
            analytic = np.zeros(array.shape)
            missing = "the target returned None for it"
        else:
            missing = ""
        self.gradients[name] = analytic
        if analytic.dtype.kind not in "fiub":
            unknown = np.full(array.shape, np.nan)
            return unfit(name, array, unknown, f"the gradient is of dtype {analytic.dtype}")
        if analytic.shape != array.shape:
            entry = unfit(name, array, analytic, f"the gradient has shape {analytic.shape}, not {array.shape}")
            if self.mode == "directional" and array.size > DIAGNOSED:
                if self.diagnose:
                    self.slopes[name] = self._slopes(array, DIAGNOSED)
            elif array.size <= 5000:
                entry.numeric = self._elements(array, list(np.ndindex(array.shape)))[0]
            return entry
        if not np.isfinite(analytic).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(analytic))[0])
            entry = unfit(name, array, analytic, f"the gradient is not finite, first at {list(where)}")
            entry.worst_index = where
            if array.size <= 5000:
                places = [where] if self.mode == "directional" else list(np.ndindex(array.shape))
                entry.numeric = self._elements(array, places)[0]
            return entry
        if self.mode == "directional" and array.size > self.directions:
            entry = self._directional(name, array, analytic)
        else:
            places = list(np.ndindex(array.shape)) if self.mode == "full" else self._samples(array, analytic)
            entry = self._by_elements(name, array, analytic, places)
        if missing and entry.verdict == "wrong":
            entry.reason = missing
        return entry

    def _by_elements(self, name: str, array: Any, analytic: np.ndarray, places: list[tuple]) -> Entry:
        numeric, uncertainty, low, high = self._elements(array, places)
        self._sharpen(name, places, numeric, uncertainty, low, high)
        kinks = int((np.nan_to_num(high) > np.nan_to_num(low)).sum())
        entry = Entry(name, array.shape, analytic, numeric, uncertainty, low, high, kinks=kinks)
        entry.checked = len(places)
        self._judge(entry)
        if entry.verdict == "wrong":
            self._output_by_output(entry, array)
            self._doubt(entry, array)
            entry.verdict = "right"
            self._judge(entry)
        return entry

    def _judge(self, entry: Entry) -> Entry:
        judge(entry, self.tolerance(), self.itemsize, self.size or self.near_zero)
        return entry

    def tolerance(self) -> float:
        return self.rtol or (1e-6 if self.itemsize == 8 else 1e-2)

    def _elements(self, array: Any, places: list[tuple]) -> tuple[np.ndarray, ...]:
        """Derivatives at `places`: value, uncertainty, low, high; NaN elsewhere."""
        out = [np.full(array.shape, np.nan) for _ in range(4)]
        scale, sizes = 0.0, backend.to_numpy(abs(array[array != 0]))
        usual = float(np.median(sizes)) if sizes.size else 1.0
        for place in places:
            d = self._derivative(array, place, scale, usual)
            scale = max(scale, abs(d.value)) if np.isfinite(d.value) else scale
            for part, value in zip(out, (d.value, d.uncertainty, d.low, d.high), strict=True):
                part[place] = value
        return tuple(out)

    def _derivative(
        self, array: Any, place: tuple, scale: float, usual: float = 1.0, stretch: float = 1.0
    ) -> Derivative:
        if array.dtype.itemsize != self.itemsize:  # float64 variables, float32 arithmetic inside
            return estimate(self._along(array, place), self.centre, self.size, stretch, self.itemsize, scale)
        return differentiate(self.f, array, place, self.centre, self.size, scale, usual, stretch)

    def _doubt(self, entry: Entry, array: Any) -> None:
        """Elements that look wrong are measured again with other steps: in a noisy function the two disagree."""
        for place in suspicious(entry, self.tolerance())[:200]:
            if entry.low[place] == entry.high[place]:
                again = self._derivative(array, place, 0.0, stretch=0.37)
                apart = abs(again.value - float(entry.numeric[place]))
                if apart > 3 * float(entry.uncertainty[place]):
                    entry.uncertainty[place] = apart

    def _sharpen(self, name: str, places: list[tuple], numeric: Any, *rest: Any) -> None:
        """Put the complex step's values, good to the last digit, in the place of differences that confirm them."""
        uncertainty, low, high = rest
        smooth = [p for p in places if low[p] == high[p] and np.isfinite(numeric[p])]
        if not smooth or self.no_complex or self.itemsize < 8:
            return
        found = complex_derivatives(self.objective, name, smooth)
        self.no_complex = found is None
        if found is None:
            return
        self.evaluations += len(smooth)
        at = tuple(np.array(smooth).T) if numeric.ndim else ()
        found = found if numeric.ndim else found[0]
        known = uncertainty[at] <= 1e-3 * np.maximum(np.abs(found), np.abs(numeric[at]).max()) + 1e-12
        close = np.abs(found - numeric[at]) <= 10 * uncertainty[at] + 1e-9 * np.abs(found)
        if np.any(known & ~close):  # not analytic: it drops the imaginary part somewhere
            self.no_complex = True
            return
        for part in (numeric, low, high):
            part[at] = np.where(known, found, part[at])
        uncertainty[at] = np.where(known, 4e-16 * np.maximum(np.abs(found), np.abs(found).max()), uncertainty[at])
        self.complex = True

    def _along(self, array: Any, place: tuple) -> Any:
        value = float(array[place])

        def along(h: float) -> tuple[float, float]:
            array[place] = value + h
            step = float(array[place]) - value
            try:
                return self.f(), step
            finally:
                array[place] = value

        return along

    def _samples(self, array: Any, analytic: np.ndarray) -> list[tuple]:
        """`samples` places: those of the largest and smallest value and gradient, the corners, and random ones."""
        if array.size <= self.samples:
            return list(np.ndindex(array.shape))
        values = backend.to_numpy(array)
        picked = [
            np.abs(analytic).argmax(),
            np.abs(analytic).argmin(),
            analytic.argmax(),
            analytic.argmin(),
            values.argmax(),
            values.argmin(),
            np.abs(values).argmin(),
            0,
            array.size - 1,
        ]
        unique = list(dict.fromkeys(int(i) for i in picked))[: self.samples]
        rest = np.setdiff1d(np.arange(array.size), unique)
        unique += [int(i) for i in self.rng.choice(rest, self.samples - len(unique), replace=False)]
        return [tuple(int(i) for i in np.unravel_index(i, array.shape)) for i in unique]

    def _directional(self, name: str, array: Any, analytic: np.ndarray) -> Entry:
        """Derivatives along random directions; if they are wrong, along enough of them to find out why.

        A direction on which several kinks meet has more slopes than the one-sided two: what is wrong along such
        directions only is decided by a sample of the elements.
        """
        slopes = self._slopes(array, self.directions)
        entry = self._judge(entry_of(name, analytic, slopes))
        smooth = [(v, d) for v, d in slopes if not d.kink]
        if entry.verdict != "wrong":
            return entry
        if len(smooth) < len(slopes) and (
            not smooth or self._judge(entry_of(name, analytic, smooth)).verdict != "wrong"
        ):
            entry = self._by_elements(name, array, analytic, self._samples(array, analytic))
            if entry.verdict == "right" and entry.checked < array.size:
                entry.verdict = "cannot tell"
                entry.reason = f"kinks meet along the directions; the {entry.checked} elements looked at are right"
        elif self.diagnose:
            self.slopes[name] = slopes + self._slopes(array, DIAGNOSED - self.directions)
            entry = self._judge(entry_of(name, analytic, self.slopes[name]))
        return entry

    def _slopes(self, array: Any, count: int) -> list[tuple[np.ndarray, Derivative]]:
        """`count` random directions, and the derivative along each."""
        found = []
        for _ in range(count):
            v = random_direction(array.shape, self.rng)
            found.append((v, self._slope(array, v)))
        return found

    def _slope(self, array: Any, v: np.ndarray) -> Derivative:
        xp, held = backend.array_module(array), array.copy()
        on_device = xp.asarray(v, dtype=array.dtype)

        def along(h: float) -> tuple[float, float]:
            xp.multiply(on_device, h, out=array)
            array[...] += held
            try:
                return self.f(), h
            finally:
                array[...] = held

        return estimate(along, self.centre, self.size, 1.0, self.itemsize)

    def _look_closer(self, name: str) -> str:
        """Where the wrong elements are, as far as some halvings and a sample of elements tell."""
        from .diagnosis import worst

        array, analytic = self.objective.variables[name], self.gradients[name]
        box = self._narrowed(name)
        starts = [part.start for part in box]
        places = [tuple(np.add(place, starts).tolist()) for place in self._samples(array[box], analytic[box])]
        numeric, uncertainty, low, high = self._elements(array, places)
        looked_at = Entry(name, array.shape, analytic, numeric, uncertainty, low, high)
        count = len(suspicious(looked_at, self.tolerance()))
        if analytic[box].size == 1 == count:
            return f"; all that is wrong is {worst(analytic, numeric, 1)}"
        where = ", ".join(f"{part.start}:{part.stop}" for part in box)
        words = f"; all that is wrong lies in [{where}]" if analytic[box].size < analytic.size else ""
        words += f"; wrong are {count} of {len(places)} elements looked at{' there' if words else ''}"
        return words + (f": {worst(analytic, numeric, min(count, 3))}" if count else "")

    def _narrowed(self, name: str) -> tuple[slice, ...]:
        """The part of an array that holds all that is wrong: axis by axis, how much at either end is right?"""
        array, analytic, (v, _) = self.objective.variables[name], self.gradients[name], self.slopes[name][0]
        box = [slice(0, length) for length in array.shape]

        def is_wrong(axis: int, indices: slice) -> bool:
            part, at = np.zeros(array.shape), (*box[:axis], indices, *box[axis + 1 :])
            part[at] = v[at]
            d, said = self._slope(array, part), float(np.vdot(analytic, part))
            near = self.tolerance() * max(abs(said), abs(d.value)) + 3 * d.uncertainty + d.high - d.low
            return abs(said - d.value) > near

        for axis, n in enumerate(array.shape):
            first = fewest(lambda k, axis=axis: is_wrong(axis, slice(0, k)), n) - 1
            last = n - fewest(lambda k, axis=axis, n=n: is_wrong(axis, slice(n - k, n)), n) + 1
            box[axis] = slice(first, max(last, first + 1))
        return tuple(box)

    # --- kinks deep inside ---------------------------------------------------------------------------------------

    def _output_by_output(self, entry: Entry, array: Any) -> None:
        """Where several outputs have a kink at once, each may choose its own slope.

        Overlapping windows of a max pooling with ties: moving x up makes it the maximum in all of them, moving it down
        in none, but backward gives it those windows in which it comes first. So the interval is
        sum over outputs k of R_k [low_k, high_k], which holds more than [D-, D+] where R has both signs.
        """
        R = self.objective.flat_weights()
        if R.size < 2 or self.itemsize < 8:
            return
        y0 = self.objective.values()
        for place in suspicious(entry, self.tolerance())[:200]:
            value, found = float(array[place]), []
            if entry.low[place] == entry.high[place]:
                continue
            for h in (2e-5, 4e-6):
                h = h * max(1.0, abs(value))
                ys = []
                for k in (1, 2, -1, -2):
                    array[place] = value + k * h
                    ys.append(self.objective.values())
                    self.evaluations += 1
                array[place] = value
                plus, minus = (one_sided(y0, a, b, s, 2 * s) for (a, b), s in ((ys[:2], h), (ys[2:], -h)))
                noise = 20 * 2.2e-16 * np.max(np.abs(ys), axis=0) / h
                found.append((plus, minus, np.abs(plus - minus) > noise + 1e-6 * np.abs(plus)))
            (p, m, kinked), (p2, m2, kinked2) = found
            kinked &= kinked2 & (np.abs((p - m) - (p2 - m2)) <= 0.01 * np.abs(p - m))
            middle = (p2 + m2) / 2
            plus, minus = R * np.where(kinked, p2, middle), R * np.where(kinked, m2, middle)
            if kinked.sum() > 1:
                entry.low[place] = min(entry.low[place], np.minimum(plus, minus).sum())
                entry.high[place] = max(entry.high[place], np.maximum(plus, minus).sum())

    def _second_look(self, wrong: list[Entry], analytic: dict[str, Any]) -> None:
        """Elements that look wrong because several kinks meet there are compared at eight points close by.

        relu(w x) at x = 0 in a hidden layer moves several units off their kinks at once, some up, some down; the
        gradient that every framework gives, with relu'(0) = 0, then need not lie between the one-sided derivatives.
        It is accepted only if (a) at points nearby, where nothing sits on a kink, backward agrees with differences,
        (b) the gradient jumps from one of these points to the next, so there is a kink, and (c) the value in question
        lies among those values, or, where they are more than the two of a single kink, no further out than they are
        apart: eight points need not have met every combination.
        """
        variables = self.objective.variables
        held = {name: v.copy() for name, v in variables.items()}
        suspects = {e.name: suspicious(e, self.tolerance()) for e in wrong if shape_fits(e)}
        if not suspects or max(map(len, suspects.values())) > 200:
            return
        nearby: dict[str, list[list[float]]] = {name: [] for name in suspects}
        agree = {name: np.ones(len(places), dtype=bool) for name, places in suspects.items()}
        centre, size = self.centre, self.size
        try:
            for _ in range(8):
                for name, v in variables.items():
                    noise = self.rng.uniform(-1e-3, 1e-3, v.shape)
                    v[...] = held[name] + backend.array_module(v).asarray(noise, dtype=v.dtype)
                self.centre = self.objective()
                said = self.objective.analytic()
                for name, places in suspects.items():
                    values = []
                    for k, place in enumerate(places):
                        d = self._derivative(variables[name], place, 0.0)
                        a = float(said[name][place]) if said[name] is not None else 0.0
                        agree[name][k] &= abs(a - d.value) <= 1e-5 * max(abs(a), abs(d.value)) + 10 * d.uncertainty
                        values.append(d.value)
                    nearby[name].append(values)
                if not any(ok.any() for ok in agree.values()):
                    return
        finally:
            self.centre, self.size = centre, size
            for name, v in variables.items():
                v[...] = held[name]
        for entry in wrong:
            if entry.name not in suspects:
                continue
            values = np.array(nearby[entry.name])  # (8, places)
            for k, place in enumerate(suspects[entry.name]):
                low, high = values[:, k].min(), values[:, k].max()
                width = high - low
                a = float(analytic[entry.name][place])
                jumps = width > 0.02 * max(abs(low), abs(high), 1e-12)
                levels = 1 + int((np.diff(np.sort(values[:, k])) > 0.02 * width).sum())
                slack = width if levels > 2 else 0.01 * width
                if agree[entry.name][k] and jumps and low - slack <= a <= high + slack:
                    entry.low[place], entry.high[place] = min(low, a), max(high, a)
            entry.verdict, entry.reason = "right", ""
            entry.kinks = int((np.nan_to_num(entry.high) > np.nan_to_num(entry.low)).sum())
            self._judge(entry)


def judge(entry: Entry, rtol: float, itemsize: int, size: float) -> None:
    """Give `entry` its verdict, error and worst index; `size` is that of all that f adds up."""
    known = np.isfinite(entry.numeric)
    if not entry.numeric.size:
        return
    if not known.any():
        entry.verdict, entry.reason, entry.error = "cannot tell", "the function is not finite around this point", np.nan
        return
    a = entry.analytic
    nearest = np.clip(a, entry.low, entry.high)
    difference = np.where(known, np.abs(a - nearest), 0.0)
    ends = np.maximum(np.abs(entry.low), np.abs(entry.high))
    top = float(max(np.abs(a[known]).max(), ends[known].max()))
    floor = 1e5 * float(np.median(entry.uncertainty[known])) if itemsize == 8 else 0.0
    doubt = np.where(known, entry.uncertainty, 0.0)
    allowed = rtol * np.maximum(np.abs(a), np.nan_to_num(ends)) + 3 * doubt + rtol * 1e-3 * top
    excess = difference - allowed
    worst = np.unravel_index(int(np.argmax(np.where(known, excess, -np.inf))), a.shape)
    entry.worst_index = tuple(int(i) for i in worst)
    entry.error = float(difference.max() / max(top, min(floor, 1.0), 1e-300)) if top else 0.0
    if (excess > 0).any():
        entry.verdict = "wrong"
        return
    lost = np.isinf(entry.uncertainty)
    if lost.any():
        entry.verdict = "cannot tell"
        entry.reason = f"the function is not finite around {int(lost.sum())} element(s)"
        return
    enough = 1e-2 if itemsize == 8 else 5e-2
    vague = known & (3 * doubt > enough * np.maximum(top, 1e-3 * floor)) & (doubt > 1e-6 * min(1.0, size))
    if vague.any():
        entry.verdict = "cannot tell"
        entry.reason = (
            f"differences are uncertain by {doubt.max():.1e} at {int(vague.sum())} element(s): the function is too "
            f"rough or too noisy here"
        )
        entry.error = float(min(entry.error, 1.0))


def entry_of(name: str, analytic: np.ndarray, slopes: list[tuple[np.ndarray, Derivative]]) -> Entry:
    """The entry of an array whose slopes along some directions are known."""
    said = np.array([float((analytic * v).sum()) for v, _ in slopes])
    columns = [np.array([getattr(d, k) for _, d in slopes]) for k in ("value", "uncertainty", "low", "high")]
    entry = Entry(name, analytic.shape, said, *columns, kinks=sum(d.kink for _, d in slopes))
    entry.checked = len(slopes)
    return entry


def fewest(is_so: Callable[[int], bool], most: int) -> int:
    """The smallest k from 1 to `most` for which it is so, by bisection; if it is so for k, it is for all above."""
    low, high = 0, 1
    if not is_so(1):
        low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_so(middle) else (middle, high)
    return high


def suspicious(entry: Entry, rtol: float) -> list[tuple]:
    """The places of `entry` where analytic and numeric differ too much."""
    nearest = np.clip(entry.analytic, entry.low, entry.high)
    allowed = rtol * np.maximum(np.abs(entry.analytic), np.abs(nearest)) + 3 * entry.uncertainty
    return [tuple(int(i) for i in p) for p in np.argwhere(np.abs(entry.analytic - nearest) > allowed)]


def shape_fits(entry: Entry) -> bool:
    return (
        entry.analytic is not None
        and entry.analytic.shape == np.shape(entry.low) == np.shape(entry.numeric)
        and bool(np.isfinite(entry.analytic).all())
    )


def unfit(name: str, array: Any, analytic: Any, reason: str) -> Entry:
    nothing = np.full(array.shape, np.nan)
    return Entry(
        name,
        array.shape,
        analytic,
        nothing,
        nothing,
        nothing,
        nothing,
        error=float("inf"),
        verdict="wrong",
        reason=reason,
        worst_index=(0,) * len(array.shape),
    )


def widen(value: Any) -> Any:
    return value.astype(np.float64) if is_array(value) and is_float(value) and value.dtype.itemsize < 8 else value


def smallest(objective: Objective) -> int:
    """Bytes per number of the coarsest float among variables and outputs."""
    sizes = [v.dtype.itemsize for v in objective.variables.values()]
    transform(lambda y: sizes.append(y.dtype.itemsize) if is_array(y) and is_float(y) else None, objective.outputs)
    return max(2, min(sizes, default=8))

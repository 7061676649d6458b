"""check_gradients: does backward say what differences say?

1  copy the inputs, write down all the target holds, go to float64
2  f = <R, outputs>; is forward deterministic? what traps are there?
3  backward once: the analytic gradients
4  differences for every element (or some, or a few directions): the numeric gradients, each with its uncertainty;
   the complex step in their place, where forward takes complex numbers and the differences confirm it
5  compare element by element: the verdict; what looks wrong may be several kinks at one point
6  for what is wrong, find the mistake that explains it (diagnosis)
7  put everything back
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from .differences import Differences
from .directional import Slopes, entry_of, look_closer, sample, slopes_along
from .isolation import Snapshot, recast
from .kinks import doubt, output_by_output, second_look
from .objective import NotDeterministic, Objective
from .report import Entry, GradientReport, Trap
from .targets import ModuleTarget, Target, make_target
from .traps import accumulation_traps, backward_traps, forward_traps, stale_traps
from .tree import is_array, is_float, transform
from .verdict import shape_fits, unfit

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
        self.differences = Differences(objective, self.itemsize, self.rtol)
        self.gradients: dict[str, np.ndarray] = {}  # what backward said, whole
        self.slopes: dict[str, Slopes] = {}  # in directional mode, of the wrong arrays
        for name, array in objective.variables.items():
            if name not in analytic:
                report.notes.append(f"{name}: the target gives no gradient for it, so none was checked")
            elif self.only is None or name in self.only:
                report.entries[name] = self._entry(name, array, analytic[name])
        wrong = [entry for entry in report.entries.values() if entry.verdict == "wrong"]
        if wrong and self.mode != "directional":
            second_look(self.differences, wrong, analytic, self.rng)
            wrong = [entry for entry in wrong if entry.verdict == "wrong"]
        if wrong and self.diagnose:
            from .diagnosis import diagnose_entries  # only now: most checks need none of it

            diagnose_entries(report, objective, self.gradients, self.slopes)
            self._look_closer(report)
        report.evaluations = self.differences.evaluations
        if self.differences.complex:
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
                    self.slopes[name] = slopes_along(self.differences, array, DIAGNOSED, self.rng)
            elif array.size <= 5000:
                entry.numeric = self.differences.elements(array, list(np.ndindex(array.shape)))[0]
            return entry
        if not np.isfinite(analytic).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(analytic))[0])
            entry = unfit(name, array, analytic, f"the gradient is not finite, first at {list(where)}")
            entry.worst_index = where
            if array.size <= 5000:
                places = [where] if self.mode == "directional" else list(np.ndindex(array.shape))
                entry.numeric = self.differences.elements(array, places)[0]
            return entry
        if self.mode == "directional" and array.size > self.directions:
            entry = self._directional(name, array, analytic)
        else:
            places = list(np.ndindex(array.shape)) if self.mode == "full" else self._sample(array, analytic)
            entry = self._by_elements(name, array, analytic, places)
        if missing and entry.verdict == "wrong":
            entry.reason = missing
        return entry

    def _by_elements(self, name: str, array: Any, analytic: np.ndarray, places: list[tuple]) -> Entry:
        differences = self.differences
        numeric, uncertainty, low, high = differences.elements(array, places)
        differences.sharpen(name, places, numeric, uncertainty, low, high)
        kinks = int((np.nan_to_num(high) > np.nan_to_num(low)).sum())
        entry = Entry(name, array.shape, analytic, numeric, uncertainty, low, high, kinks=kinks)
        entry.checked = len(places)
        if differences.judge(entry).verdict == "wrong":
            output_by_output(differences, entry, array)
            doubt(differences, entry, array)
            entry.verdict = "right"
            differences.judge(entry)
        return entry

    def _sample(self, array: Any, analytic: np.ndarray) -> list[tuple]:
        return sample(array, analytic, self.samples, self.rng)

    def _directional(self, name: str, array: Any, analytic: np.ndarray) -> Entry:
        """Derivatives along random directions; if they are wrong, along enough of them to find out why.

        A direction on which several kinks meet has more slopes than the one-sided two: what is wrong along such
        directions only is decided by a sample of the elements.
        """
        slopes = slopes_along(self.differences, array, self.directions, self.rng)
        entry = self.differences.judge(entry_of(name, analytic, slopes))
        smooth = [(v, d) for v, d in slopes if not d.kink]
        if entry.verdict != "wrong":
            return entry
        if len(smooth) < len(slopes) and (
            not smooth or self.differences.judge(entry_of(name, analytic, smooth)).verdict != "wrong"
        ):
            entry = self._by_elements(name, array, analytic, self._sample(array, analytic))
            if entry.verdict == "right" and entry.checked < array.size:
                entry.verdict = "cannot tell"
                entry.reason = f"kinks meet along the directions; the {entry.checked} elements looked at are right"
        elif self.diagnose:
            slopes += slopes_along(self.differences, array, DIAGNOSED - self.directions, self.rng)
            self.slopes[name] = slopes
            entry = self.differences.judge(entry_of(name, analytic, slopes))
        return entry

    def _look_closer(self, report: GradientReport) -> None:
        """Say where the wrong elements are, in arrays of which only slopes are known and that nothing explains."""
        enough = self.differences.evaluations + CLOSER
        for name, slopes in self.slopes.items():
            entry = report[name]
            if not entry.diagnoses and shape_fits(entry) and self.differences.evaluations < enough:
                array, analytic = self.objective.variables[name], self.gradients[name]
                entry.reason += look_closer(self.differences, array, analytic, slopes, self.samples, self.rng)


def widen(value: Any) -> Any:
    return value.astype(np.float64) if is_array(value) and is_float(value) and value.dtype.itemsize < 8 else value


def smallest(objective: Objective) -> int:
    """Bytes per number of the coarsest float among variables and outputs."""
    sizes = [v.dtype.itemsize for v in objective.variables.values()]
    transform(lambda y: sizes.append(y.dtype.itemsize) if is_array(y) and is_float(y) else None, objective.outputs)
    return max(2, min(sizes, default=8))

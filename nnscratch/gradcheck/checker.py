"""check_gradients: compare a hand-written backward pass with finite differences.

1  Copy the inputs. Record the state of the code, and convert its arrays to float64.
2  Reduce the outputs y to one number, f = sum(R * y), with random weights R. Test that forward is deterministic. Search
   for traps: faults that a comparison of gradients cannot find.
3  Run backward once for the analytic gradients. Search for arrays that affect the outputs but have no gradient.
4  If the code converts its arrays to float32, make it compute in float64. Compute the numeric gradients by finite
   differences: for every element, for some elements, or along a few directions. Estimate the uncertainty of each value.
   If forward accepts complex numbers, use the complex step for more digits.
5  Compare the analytic and the numeric gradients, and decide the verdict. A kink is a point without a derivative, such
   as 0 for ReLU. If several ReLUs are at their kinks, the affected elements need a separate test.
6  Search for the mistake that explains a wrong gradient (diagnosis).
7  Restore everything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import backend
from .adapters import Adapter
from .completeness import completeness_traps
from .cost import choose_mode, progress_bar, sight_note
from .differences import Differences
from .entries import EntryChecker
from .kinks import settle_kinks
from .noise import has_noise_of_float32
from .pairing import complete_adapter
from .perturbed import measured_derivative_traps
from .precision import project_in_float64, smallest_itemsize, stores_narrow_arrays
from .projection import NotDeterministic, Projection
from .report import GradientReport, Trap
from .settings import Settings
from .small_constants import excuse_small_constants
from .snapshot import Snapshot
from .stale_forward import stale_traps
from .traps import WRITES, accumulation_traps, backward_traps, forward_traps
from .vacuous import ForwardCalls, constant_traps, difference_traps
from .widening import float64_code
from .zero_arrays import check_without_zeros

IN_FLOAT32 = "central differences in float32"
WIDENED = (
    "the code converts arrays to float32; for this check, the checker made these conversions give float64. The outputs "
    "and the gradients stayed the same, except for rounding"
)


def check_gradients(
    subject: Any,
    /,
    *inputs: Any,
    loss: Any = None,
    targets: Any = (),
    mode: str = "auto",
    samples: int = 20,
    directions: int = 2,
    rtol: float | None = None,
    rng: None | int | np.random.Generator = 0,
    only: Sequence[str] | None = None,
    diagnose: bool = True,
    convention: str = "sum",
) -> GradientReport:
    """Check the gradients of a hand-written backward pass against finite differences.

    Parameters
    ----------
    subject : Module, pair of functions, object, or function
        The code to check: a Module; a pair ``(forward, backward)`` in CS231n's form; an object with ``forward``,
        ``backward`` and ``params``/``grads`` (or ``self.W`` and ``self.dW``); a scalar function with its gradient,
        as a pair or as one function that returns both. Afterwards, the checker restores the arrays, the attributes and
        the random generators of the code, even if the code raises an error.
    *inputs : array, nested tuples, lists or dictionaries of arrays, or anything else that forward takes
        The arguments of forward. The checker checks the gradient of every float array among them. Integer arrays and
        all other values are passed to forward unchanged.
    loss : Module, optional
        For a Module: check ``loss(subject(*inputs), *targets)``. If the Module has other outputs, such as a recurrent
        state, they are added to the loss with random weights. So the check includes the gradients of these outputs.
    targets : array or tuple of arrays
        The arguments of the loss after the prediction.
    mode : {"auto", "full", "sampled", "directional"}
        "auto" measures how long a forward pass takes. It chooses "full" if the check will end within 20 seconds.
        Otherwise it chooses "directional", and a note in the report gives the estimated time of a full check. "full"
        checks every element. "sampled" checks `samples` elements of each array. These include the largest and the
        smallest element. "directional" checks derivatives along `directions` random directions in each array. The cost
        of this mode does not depend on the size of an array. If one of these derivatives is wrong, the diagnosis uses
        three directions. If the diagnosis finds no mistake, up to `samples` elements of the array are measured too.
    samples, directions : int
        See `mode`.
    rtol : float, optional
        The relative difference allowed at each element: 1e-6 by default, 1e-2 if the code computes in float32, and
        the checker cannot make it compute in float64.
    rng : None, int or numpy.random.Generator
        The seed or the generator for the random weights of the outputs, the samples and the directions.
    only : sequence of str, optional
        The names of the arrays to check; by default all.
    diagnose : bool
        If True, search for the mistake that explains each wrong gradient.
    convention : {"sum", "mean"}
        "sum": the gradients of weights are sums over the examples, as the chain rule says. "mean": backward divides
        them by the number of examples m, as in ``dW = 1/m * np.dot(dZ, A_prev.T)`` of deeplearning.ai's courses. The
        gradient of an array with one row or column for each example is not divided.

    Returns
    -------
    GradientReport
        See ``report.ok``, ``report.max_error`` and ``report["weight"]``. ``print(report)`` prints a table.

    Raises
    ------
    TypeError
        `subject` has none of the forms above, or forward returns no floats.
    ValueError
        An option has a value that is not allowed, or there is no float array to check.

    If the checked code raises an error, the checker does not catch it.

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
    settings = Settings(mode, samples, directions, rtol, only, diagnose)
    rng = backend.generator(rng)
    started = time.perf_counter()
    adapter, before, start = complete_adapter(subject, inputs, loss, targets, convention)
    try:
        with np.errstate(all="ignore"):  # a step may leave the domain of f, and then the report says so
            notes = list(adapter.notes)
            report = Check(adapter, start, settings, rng).report()
            report = check_without_zeros(
                report, adapter, start, notes, lambda state: Check(adapter, state, settings, rng).report()
            )
    finally:
        before.restore()
    report.seconds = time.perf_counter() - started
    return report


class Check:
    """One run of `check_gradients`.

    Parameters
    ----------
    adapter : Adapter
    before : Snapshot
        The state of the checked code at the start of the check.
    settings : Settings
    rng : numpy.random.Generator
    """

    def __init__(self, adapter: Adapter, before: Snapshot, settings: Settings, rng: np.random.Generator):
        self.adapter, self.before, self.settings, self.rng = adapter, before, settings, rng

    def report(self) -> GradientReport:
        """Run steps 2 to 6 of the list at the top of this file, and return the report."""
        report = GradientReport(
            self.adapter.title, mode=self.settings.mode.replace("auto", "full"), notes=self.adapter.notes
        )
        self.adapter.prepare()
        try:
            projection, itemsize = project_in_float64(self.adapter, self.before, self.rng, report)
        except NotDeterministic as error:
            report.traps.append(Trap("not deterministic", str(error), "cannot tell"))
            return report
        if projection.replayed:
            report.notes.append(
                "forward draws random numbers; the checker replayed the same numbers at every call"
                if projection.replayed == "draws"
                else "forward keeps state between calls; the checker restored this state before every call"
            )
        report.traps += forward_traps(projection)
        if any(trap.severity == "cannot tell" for trap in report.traps):
            return report
        report.traps += backward_traps(projection)
        with ForwardCalls(self.adapter) as calls:
            analytic = projection.analytic()
        report.traps += difference_traps(calls.count, projection)
        report.traps += accumulation_traps(projection, analytic)
        if not any(trap.kind == WRITES and trap.severity == "wrong" for trap in report.traps):
            report.traps += stale_traps(projection)
        self._check_names(analytic)
        report.traps += completeness_traps(projection, analytic, report, restricted=self.settings.only is not None)
        report.traps += constant_traps(projection, analytic, report)
        with float64_code(projection, analytic) as wide:
            rounding = None
            if wide is not None:
                projection, analytic, rounding = wide.projection, wide.analytic, wide.rounding
                itemsize = smallest_itemsize(projection)
                report.notes.append(WIDENED)
            self._measure(report, Differences(projection, itemsize, self.settings.rtol, rounding), analytic)
        for name, entry in report.entries.items():
            if entry.verdict == "right" and name in self.adapter.parameters() and not np.any(entry.analytic):
                message = (
                    f"the gradient of {name} is zero everywhere: a small change of {name} does not change these outputs"
                )
                report.traps.append(Trap("zero gradient", message, "note"))
        return report

    def _measure(self, report: GradientReport, differences: Differences, analytic: dict[str, Any]) -> None:
        """Compare all gradients with finite differences that are as exact as the code. Fill ``report.entries``."""
        narrow, projection = "the outputs are float32", differences.projection
        if (
            differences.itemsize == 8
            and stores_narrow_arrays(projection)
            and has_noise_of_float32(differences, self.rng)
        ):
            wider = Differences(projection, 4, self.settings.rtol or 1e-3)
            # The steps for float32 are larger, so they may cross a kink, and then a right gradient looks wrong. So use
            # these steps only if no gradient looks wrong.
            if not self._any_is_wrong(projection, wider, analytic):
                narrow, differences = "forward stores float32 arrays", wider
        self._compare(report, projection, differences, analytic)
        if report.ok and differences.itemsize == 8:
            report.traps += measured_derivative_traps(projection)
        if differences.has_drifted():
            message = "after the measurements, forward returned different outputs for the same inputs and weights"
            report.traps.append(Trap("state has drifted", message, "cannot tell"))
        for trap in report.traps:
            if trap.kind == WRITES and any(entry.verdict == "wrong" for entry in report):
                trap.severity = "wrong"  # this trap, a changed input, is the likely reason for the wrong gradients
        report.evaluations = differences.evaluations
        if differences.complex_step_used:
            report.method = "complex step in float64, confirmed by central differences"
        if differences.itemsize < 8:
            report.method = IN_FLOAT32
            report.notes.append(
                f"{narrow} even for float64 inputs, so float32 tolerances were used: the check misses an error below "
                f"{100 * differences.tolerance():g} %"
            )

    def _check_names(self, analytic: dict[str, Any]) -> None:
        """Raise ValueError if there is no array to check, or if `only` names an array that does not exist."""
        if not analytic:
            raise ValueError(
                f"{self.adapter.title} has no parameters, and there are no float arrays among its inputs, so there is "
                f"nothing to check. Integers are not differentiated: pass 3.0, or numpy.array(3.0), instead of 3"
            )
        unknown = sorted(set(self.settings.only or ()) - set(analytic))
        if unknown:
            raise ValueError(f"only= contains unknown names: {unknown}; the arrays are {', '.join(analytic)}")

    def _any_is_wrong(self, projection: Projection, differences: Differences, analytic: dict[str, Any]) -> bool:
        """Compare all gradients with `differences`, and return True if the verdict on one of them is "wrong"."""
        report, settings = GradientReport(""), self.settings
        self.settings = replace(settings, diagnose=False)
        try:
            self._compare(report, projection, differences, analytic)
        finally:
            self.settings = settings
        return any(entry.verdict == "wrong" for entry in report)

    def _compare(
        self, report: GradientReport, projection: Projection, differences: Differences, analytic: dict[str, Any]
    ) -> None:
        """Fill ``report.entries``, and diagnose the wrong entries."""
        chosen = {
            n: a for n, a in projection.variables.items() if self.settings.only is None or n in self.settings.only
        }
        sizes = [array.size for name, array in chosen.items() if name in analytic]
        self.settings = choose_mode(self.settings, differences, sizes, report)
        if self.settings.mode == "full":
            differences.bar = progress_bar(sum(sizes), report.estimate)
        checker = EntryChecker(differences, self.settings, self.rng)
        try:
            for name, array in projection.variables.items():
                if name not in analytic:
                    report.notes.append(f"{name}: the code gives no gradient for it, so it was not checked")
                elif name in chosen:
                    report.entries[name] = checker.entry(name, array, analytic[name])
        finally:
            if differences.bar is not None:
                differences.bar.close()
        settle_kinks(differences, list(report), checker.gradients, self.rng)
        excuse_small_constants(report, projection, checker)
        wrong = [entry for entry in report if entry.verdict == "wrong"]
        if wrong and self.settings.diagnose:
            from .diagnosis import diagnose_entries  # imported here because most checks need no diagnosis

            diagnose_entries(report, projection, checker.gradients, checker.directional)
            checker.locate_unexplained(report)
        note = sight_note(report, differences.tolerance())
        report.notes += [note] if note else []

"""The diagnosis: find the mistake that explains a wrong gradient.

A hypothesis is a mistake that backward may contain. The diagnosis computes the gradient that a backward with this
mistake returns. It reports the mistake only if this gradient equals the gradient that backward returned. The files use
these words:

    given, true   the gradient that backward returned, and the gradient that finite differences give
    y, R, f       y are the outputs, and R contains a random weight for each element of y. The check differentiates the
                  number f = sum(R * y)
    <a, b>        the sum of the products of the elements of two arrays
    case          one wrong gradient that must be explained (`Case`)
    evidence      a text for the report: the comparison of numbers that shows the mistake (`Diagnosis`)
    place         a text for the report: the name of the wrong array, or the line of the user's code with the mistake
    rank          a number for each mistake: a specific mistake has a smaller rank than a general mistake
    operation     one NumPy operation of forward, recorded as a `Node`: it computes a result from operands
    active        an operand is active if it depends on a differentiated array
    iteration     one run of the body of a loop in the user's code. Reports, and some names in this folder, call an
                  iteration a round
    family        the executions of one operation in a loop: a list with one `Node` for each iteration
    nodes, j      together, they name an operand or a result: `nodes` is the family of the operation, and j is the
                  index of the operand, or -1 for the result
    edge          an operand or a result; in backward, a gradient passes along each edge
    occurrence    one use of a differentiated array as an operand; in x @ w + h @ w, the array w has two occurrences
    path          the edges through which a gradient passes from f to an array
    cut           changes of forward that make the gradient along one edge zero
    direction     an array v by which a differentiated array w is moved: forward runs at w + h v and at w - h v,
                  with a small number h. In directional mode, the check measures only derivatives along directions
    increment     an operand or a result, minus the value that it had in the first run of forward
    movement      the derivative of an operand or a result along a direction (movements.py)
    changes       a dictionary that describes a changed forward: {number of an operation: function that replaces it}

    array_mistakes.py         backward returns the true gradient with a wrong sign, factor or block of rows
    reordered_axes.py         axes exchanged or reversed, and shifts along axes
    output_mistakes.py        backward leaves out some outputs; axis_roles.py finds samples and time steps
    elementwise_mistakes.py   a wrong slope of y = phi(x); like output_mistakes.py, it uses jacobian.py
    target_mistakes.py        wrong targets: shifted by one, left out, with the sign flipped
    upstream_mistakes.py      backward starts from a wrong dy, which is found by solving linear equations
    written_gradients.py      backward changes dy, and then computes with the changed dy
    forward_mistakes.py       records the operations of forward, and tests the hypotheses of these files:
      missing_paths.py        a path left out or counted twice; iterations of a loop left out
      state_mistakes.py       a state's gradient lost between iterations, or never reset
      wrong_slopes.py         a function whose derivative is missing or wrong; slope_formulas.py lists formulas
      softmax_mistakes.py     a wrong Jacobian of softmax or log-softmax
      normalisation_mistakes.py   a normalisation with a wrong mean or deviation; constants differentiated
      wrong_sums.py           the gradient of a broadcast operand, summed over the wrong axes
      wrong_windows.py        windows at a wrong position, kernels not rotated, repeated rows
      wrong_positions.py      windows that forward writes to, and arrays inside larger arrays, at a wrong position
      wrong_factors.py        a product with a wrong factor; blocks exchanged; random_masks.py finds dropout's masks
      wrong_maxima.py         a maximum without its mask, or with a wrong mask
      linalg_mistakes.py      inverses, solutions of linear equations, determinants
      wrong_uses.py           backward leaves out the gradient of some occurrences of an array
      used_gradients.py       a wrong gradient of an array inside forward; changed_gradients.py lists wrong gradients
      gradient_errors.py      a function with a wrong derivative, which is found by solving linear equations

    smaller_gradients.py      a gradient with too few elements, summed over too many axes
    backward_edits.py         changes one expression of backward; edits.py and statement_edits.py list the changes
      changed_functions.py    runs backward with a change

    other_points.py                tests the explanations again at other inputs, if the gradients have few elements
    case.py, directional_case.py   a wrong gradient, and the test of a hypothesis about it
    hypotheses.py                  the test of a hypothesis about forward, for all arrays together
    movements.py                   the operations at which a mistake can explain the errors
    forward_graph.py               the recorded operations of forward
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from ..numerical import Derivative
from ..projection import Projection
from ..report import GradientReport
from ..verdict import worst_elements
from .array_mistakes import array_mistakes
from .backward_edits import backward_edits
from .case import Case
from .directional_case import DirectionalCase
from .forward_mistakes import forward_mistakes
from .hypotheses import search_failed
from .other_points import are_few, keep_what_holds_elsewhere
from .output_mistakes import output_mistakes
from .smaller_gradients import summed_to_fewer_elements
from .target_mistakes import target_mistakes
from .upstream_mistakes import upstream_mistakes
from .written_gradients import written_gradients


def diagnose_entries(
    report: GradientReport,
    projection: Projection,
    gradients: dict[str, np.ndarray],
    derivatives: dict[str, list[tuple[np.ndarray, Derivative]]],
) -> None:
    """Add to every wrong entry of `report` the mistakes that explain it.

    The mistakes of an entry are sorted. The mistake that explains the most wrong arrays comes first, because one
    mistake in backward is more likely than several mistakes. If two mistakes explain the same number of arrays, the
    mistake with the smaller rank comes first. A specific mistake has a smaller rank than a general mistake.

    Parameters
    ----------
    report : GradientReport
    projection : Projection
    gradients : dict of str to ndarray
        The complete gradients that backward returned.
    derivatives : dict of str to list of (ndarray, Derivative)
        In directional mode, for each wrong array: random directions, and the derivative of the weighted sum of the
        outputs along each direction.
    """
    cases, right, true_gradients = sorted_entries(report, projection, gradients, derivatives)
    directional = {name: case for name, case in cases.items() if name in derivatives}
    for case in cases.values():
        case.few = are_few(cases)

    def search(
        cases: dict[str, Case], right: dict, true_gradients: dict[str, np.ndarray], given: dict[str, np.ndarray]
    ) -> None:
        for case in cases.values():
            attempt(report, array_mistakes, case, cases, true_gradients, directional)
            attempt(report, output_mistakes, case)
        attempt(report, target_mistakes, cases, right, report, projection)
        attempt(report, written_gradients, cases, right, projection)
        attempt(report, forward_mistakes, cases, right, report, projection)
        attempt(report, upstream_mistakes, cases, given, projection)
        for case in cases.values():
            attempt(report, summed_to_fewer_elements, case)

    search(cases, right, true_gradients, gradients)
    if are_few(cases):
        attempt(report, keep_what_holds_elsewhere, cases, projection, search)
        report.notes[:] = dict.fromkeys(report.notes)
    attempt(report, backward_edits, cases, projection, gradients)
    explained = Counter(mistake for case in cases.values() for mistake in {d.mistake for _, d in case.found})
    at_place = Counter(key for case in cases.values() for key in {(d.mistake, d.place) for _, d in case.found})
    for case in cases.values():
        case.entry.diagnoses = sorted(case.ranked(at_place), key=lambda d: -explained[d.mistake])
        if not case.found and not case.entry.reason:
            case.entry.reason = "no known mistake explains this gradient"
            if case.by_element:
                case.entry.reason += f"; the worst elements: {worst_elements(case.given, case.true)}"


def sorted_entries(
    report: GradientReport,
    projection: Projection,
    gradients: dict[str, np.ndarray],
    derivatives: dict[str, list[tuple[np.ndarray, Derivative]]],
) -> tuple[dict[str, Case], dict[str, tuple[np.ndarray, np.ndarray]], dict[str, np.ndarray]]:
    """Return three dictionaries: the arrays with a wrong gradient, those with a right gradient, and the true gradients.

    The first dictionary contains a `Case` for each array whose gradient is wrong. The second contains, for each array
    whose gradient is right, the gradient from backward and the true gradient. The third contains the true gradients
    that are known. The keys are the names of the arrays. The arguments are those of `diagnose_entries`.
    """
    cases: dict[str, Case] = {}
    right, true_gradients = {}, {}
    for name, e in report.entries.items():
        if name in derivatives:
            cases[name] = DirectionalCase(e, projection, gradients[name], derivatives[name])
        elif np.shape(e.numeric) == e.shape:
            true_gradients[name] = e.numeric
            if e.verdict == "wrong":
                cases[name] = Case(e, projection)
            else:
                right[name] = (e.analytic, np.where(Case(e, projection).smooth, e.numeric, np.nan))
        elif e.verdict == "right":  # only derivatives along directions were measured: see directional_case.py
            # If two gradients give the same derivatives along random directions, they agree in every element. So the
            # gradient from backward is the true gradient.
            true_gradients[name] = gradients[name]
            right[name] = (gradients[name], gradients[name])
    return cases, right, true_gradients


def attempt(report: GradientReport, search: Callable, *arguments: Any) -> None:
    """Call `search`, which searches for mistakes. If it raises an error, add a note to `report`.

    The error must not change the verdict of the check.
    """
    try:
        search(*arguments)
    except Exception as error:
        report.notes.append(search_failed(search.__name__, error))

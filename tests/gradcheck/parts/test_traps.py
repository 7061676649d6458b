"""Test the parts of traps.py, stale_forward.py, perturbed.py, report.py and directional.py on values that are known."""

from types import SimpleNamespace

import numpy as np
import pytest
from projections import differences_of, project
from wrong_gradients import entry_of

import nnscratch as nn
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.directional import (
    describe_wrong_elements,
    directional_entry,
    locate_wrong_part,
    measure_directions,
    smallest_true,
)
from nnscratch.gradcheck.nested import share_memory
from nnscratch.gradcheck.numerical import Derivative
from nnscratch.gradcheck.perturbed import ShiftedOperations, measured_derivative_traps, shift_between
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.report import Diagnosis, Entry, GradientReport, Trap, finite_or_none
from nnscratch.gradcheck.stale_forward import differing_names, stale_traps
from nnscratch.gradcheck.traps import (
    accumulation_traps,
    affects_outputs,
    backward_traps,
    change_traps,
    form_traps,
    forward_traps,
    nearly_equal,
    repeats_equally,
    sharing_traps,
)

X = np.array([1.0, -2.0, 3.0])
NAN, INF = float("nan"), float("inf")


def kinds(traps):
    return [(trap.kind, trap.severity) for trap in traps]


# --- forward ---------------------------------------------------------------------------------------------------------


def test_a_sound_forward_has_no_traps():
    assert forward_traps(project(np.sin, lambda dy, x: dy, X.copy())) == []


def test_outputs_that_are_not_finite_cannot_be_compared():
    for bad in (NAN, INF):
        projection = project(lambda x, bad=bad: np.where(x > 0, x, bad), lambda dy, x: dy, X.copy())
        assert kinds(forward_traps(projection)) == [("not finite", "cannot tell")]
        projection = project(lambda x, bad=bad: float(x.sum()) + bad, lambda dy, x: dy, X.copy())
        (trap,) = forward_traps(projection)
        assert trap.kind == "not finite" and str(bad) in trap.message


def test_an_output_that_is_a_view_of_an_input_is_noted():
    (trap,) = forward_traps(project(lambda x, w: x[::-1], lambda dy, x, w: (dy, None), X.copy(), X.copy()))
    assert (trap.kind, trap.severity) == ("output aliases an input", "note") and "memory with x:" in trap.message


def test_a_forward_that_writes_is_a_trap():
    def forward(x):
        x *= 2
        return x + 1

    assert kinds(forward_traps(project(forward, lambda dy, x: dy, X.copy()))) == [
        ("forward writes into its input", "wrong")
    ]


def test_the_arrays_that_affect_the_outputs():
    ids, zero, empty, unread = np.array([2, 0, 1]), np.zeros(3), np.zeros((0, 3)), np.array([5.0])

    def forward(x, ids, zero, empty, unread, unit):
        return x[ids] + np.where(np.abs(zero) < 10, zero, 0) + np.sqrt(unit) + empty.sum()

    projection = project(forward, lambda dy, *inputs: dy, X.copy(), ids, zero, empty, unread, np.ones(3))
    before = [a.copy() for _, a in projection.adapter.arrays()]
    names = [name for name, _ in projection.adapter.arrays() if affects_outputs(projection, name)]
    assert names == ["x", "ids", "zero", "unit"]  # integers are not filled, but count
    for (_, array), old in zip(projection.adapter.arrays(), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_an_array_that_forward_cannot_take_affects_the_outputs():
    def forward(x, scale):
        if scale[0] != 2:
            raise ValueError
        return x * 2

    projection = project(forward, lambda dy, x, scale: dy, X.copy(), np.array([2.0]))
    assert affects_outputs(projection, "scale") and projection.variables["scale"].tolist() == [2]


def test_an_array_is_filled_with_values_of_its_own_magnitude():
    def forward(x, rate):
        filled.append(rate.copy())
        return 2 * x

    for rate in (np.array([1e-3, 1e3]), np.array([-1e-3, 1e-4]), np.zeros(2)):
        filled = []
        projection = project(forward, lambda dy, x, rate: dy, X.copy(), rate)
        filled.clear()
        assert not affects_outputs(projection, "rate")
        size = np.abs(rate).max() or 1.0
        assert len(filled) == 3 and all(0.01 * size < np.abs(a).max() < 5 * size for a in filled[1:])


# --- backward --------------------------------------------------------------------------------------------------------


def backward_kinds(backward, forward=lambda x: x**2):
    return kinds(backward_traps(project(forward, backward, X.copy())))


def test_a_sound_backward_has_no_traps():
    assert backward_kinds(lambda dy, x: 2 * dy * x) == []


def test_a_backward_that_writes():
    def into_dy(dy, x):
        dy *= 2
        return dy * x

    def into_x(dy, x):
        x += 1
        return dy

    assert backward_kinds(into_dy) == [("backward writes into dy", "note")]
    assert ("backward writes into its input", "wrong") in backward_kinds(into_x)


def test_a_backward_that_changes_the_cache():
    def forward(x):
        return x**2, (x.copy(),)

    def changes(dy, cache):
        cache[0][...] += 1
        return 2 * dy * cache[0]

    def overwrites(dy, cache):
        x = cache[0].copy()
        cache[0][...] = 0 * x + X  # the same values
        return 2 * dy * x

    assert ("backward writes into the cache", "wrong") in backward_kinds(changes, forward)
    assert backward_kinds(overwrites, forward) == []


def test_two_equal_or_doubled_backwards_repeat():
    assert repeats_equally(project(lambda x: x, lambda dy, x: dy, X.copy()))
    total = np.zeros(3)

    def adds(dy, x):
        total[...] += dy
        return total

    assert repeats_equally(project(lambda x: x, adds, X.copy()))

    def triples(dy, x):
        total[...] = 3 * total + dy
        return total.copy()

    assert not repeats_equally(project(lambda x: x, triples, X.copy()))


def test_who_may_change_which_arrays():
    def adapter(accumulates):
        return SimpleNamespace(accumulates=accumulates, parameters=lambda: {"w": 1, "b": 2})

    traps = change_traps(adapter(False), ["x", "w"], ["b"])
    assert [(t.message.split()[0].rstrip(":"), t.severity) for t in traps] == [
        ("x", "wrong"),
        ("w", "note"),
        ("b", "note"),
    ]
    assert "changed" in traps[1].message and "replaced" in traps[2].message
    assert [t.severity for t in change_traps(adapter(True), ["x", "w"], ["b"])] == ["wrong"] * 3
    assert change_traps(adapter(False), [], []) == []
    both = change_traps(adapter(False), ["w", "b"], [], ["w"])
    assert [(t.message.split()[0].rstrip(":"), t.severity) for t in both] == [("w", "wrong"), ("b", "note")]
    assert "w and its gradient are the same array" in both[0].message


# --- one gradient ----------------------------------------------------------------------------------------------------


def form(gradient, array=X):
    return kinds(form_traps("x", array, gradient))


def test_the_form_of_a_gradient():
    assert form(2 * X) == [] and form(X.astype("f")) == [("wrong dtype", "note")] and form(X, X.astype("f")) == []
    assert form(np.ones((3, 1))) == [("wrong shape", "wrong")] and form(np.arange(3)) == [("wrong dtype", "wrong")]
    assert form(1j * X) == [("wrong dtype", "wrong")]
    for bad in (NAN, INF):
        assert form(np.array([1.0, bad, 2.0])) == [("not finite", "wrong")]
    assert form([1.0, 2.0, 3.0]) == [("not an array", "note")] and form(2.0, np.array(1.0)) == []
    assert form("text") == [("not an array", "wrong")] and form(...) == [("not an array", "wrong")]
    assert "`...`" in form_traps("x", X, ...)[0].message and "a str" in form_traps("x", X, "a")[0].message


# --- several calls ---------------------------------------------------------------------------------------------------


def test_the_last_forward_counts_without_a_cache():
    class Layer:
        def forward(self, x):
            self.x = x.copy()
            return x**2

        def backward(self, dy):
            return 2 * dy * self.x

    class First(Layer):
        def forward(self, x):
            if not hasattr(self, "x"):
                self.x = x.copy()
            return x**2

    def stale(layer):
        return kinds(stale_traps(Projection(make_adapter(layer, (X.copy(),)), np.random.default_rng(0))))

    assert stale(Layer()) == [] and stale(First()) in ([("stale cache", "wrong")], [])


def test_a_cache_belongs_to_its_forward():
    kept = {}

    def forward(x):
        kept["x"] = x.copy()
        return x**2, (x.copy(),)

    right = project(forward, lambda dy, cache: 2 * dy * cache[0], X.copy())
    wrong = project(forward, lambda dy, cache: 2 * dy * kept["x"], X.copy())
    assert stale_traps(right) == [] and kinds(stale_traps(wrong)) == [("stale cache", "wrong")]


def test_other_inputs_may_be_outside_the_domain():
    def forward(x):
        if (x != X).any():
            raise ValueError("only these values")
        return x**2

    projection = project(forward, lambda dy, x: 2 * dy * x, X.copy())
    assert stale_traps(projection) == [] and (projection.adapter.inputs[0] == X).all()


class Scale(nn.Module):
    """y = w x. Its backward adds to the gradient, or overwrites it, and keeps x on the stack or in an attribute."""

    def __init__(self, adds=True, on_stack=True):
        self.w, self.adds, self.on_stack = nn.Parameter(np.array([2.0])), adds, on_stack

    def forward(self, x):
        self.x = x
        if self.on_stack:
            self.save_for_backward(x)
        return x * self.w.data

    def backward(self, dy):
        x = self.saved()[0] if self.on_stack else self.x
        self.w.grad[...] = (dy * x).sum() + self.adds * self.w.grad
        return dy * self.w.data


def of_module(module):
    return Projection(make_adapter(module, (X.copy(),)), np.random.default_rng(0))


def test_a_module_adds_to_its_gradients():
    for adds, expected in ((True, []), (False, [("gradient overwritten", "wrong")])):
        projection = of_module(Scale(adds))
        traps = accumulation_traps(projection, projection.analytic())
        assert kinds(traps) == expected and all("w.grad" in trap.message for trap in traps)
        assert accumulation_traps(projection, {"w": np.zeros(1)}) == accumulation_traps(projection, {"w": None}) == []


def test_a_module_keeps_the_values_of_each_forward():
    assert stale_traps(of_module(Scale())) == []
    (trap,) = stale_traps(of_module(Scale(on_stack=False)))
    assert (trap.kind, trap.severity) == ("only the last forward kept", "note")
    assert "gradient of w for A" in trap.message


def test_only_a_module_accumulates():
    assert accumulation_traps(project(lambda x: x, lambda dy, x: dy, X.copy()), {"x": X}) == []


def test_the_names_of_different_gradients():
    got = {"a": X, "b": X, "c": X, "d": X, "e": X}
    expected = {"a": X, "b": 2 * X, "c": np.array([1.0, NAN, 3.0]), "d": np.ones(2)}
    assert differing_names(got, expected) == ["b"]


def test_nearly_equal_is_relative_to_the_largest_element():
    assert nearly_equal(X, X) and nearly_equal(0 * X, 0 * X) and nearly_equal(X[:0], X[:0])
    for side, equal in ((0.9e-6, True), (1.1e-6, False)):
        for sign in (1, -1):
            assert nearly_equal(np.array([100.0, 1.0]), np.array([100.0, 1.0 + sign * 100 * side])) is equal
            assert nearly_equal(np.array([1.0, 1.0 + sign * 100 * side]), np.array([1.0, 1.0])) is False
            assert nearly_equal(np.array([100.0 + sign * 100 * side, 1.0]), np.array([100.0, 1.0])) is equal
    assert nearly_equal(np.array([1e9]), np.array([1e9 + 500]))
    assert not nearly_equal(np.array([1.0, 2.0]), np.array([1.0, 3.0]))


def test_arrays_that_share_memory():
    assert share_memory(X, X) and share_memory(X, X[1:]) and not share_memory(X, X.copy()) and not share_memory(X, 3.0)
    a = object()
    assert share_memory(a, a) and not share_memory(a, X)


def sharing(given, source=(1,), **parameters):
    """Return the messages about gradients that share memory. X is the only input."""
    adapter = SimpleNamespace(source=source, parameters=lambda: parameters)
    adapter.arrays = lambda: [*parameters.items(), ("x", X)]
    traps = sharing_traps(adapter, given)
    assert all((trap.kind, trap.severity) == ("gradient shares memory", "note") for trap in traps)
    return [trap.message.split(":")[0] for trap in traps]


def test_a_gradient_that_shares_memory_is_noted():
    w, b, g = np.ones(3), np.zeros(3), np.full(3, 7.0)
    assert sharing({"w": g, "b": g.copy(), "x": b.copy()}, w=w, b=b) == []
    assert sharing({"w": g, "x": g}, w=w) == ["the gradient of w shares memory with the gradient of x"]
    assert sharing({"w": X}, w=w) == ["the gradient of w shares memory with x"]
    assert sharing({"w": w[1:]}, w=w) == ["the gradient of w shares memory with w"]
    assert sharing({"b": w}, w=w, b=b) == ["the gradient of b shares memory with w"]
    both = sharing({"w": g, "b": g, "x": g}, w=w, b=b)  # each pair once
    assert both == ["the gradient of w shares memory with the gradient of b and the gradient of x",
                    "the gradient of b shares memory with the gradient of x"]  # fmt: skip


def test_other_gradients_may_share_memory():
    w, b = np.ones(3), np.zeros(3)
    assert sharing({"x": X, "z": X}, w=w) == []  # gradients of inputs
    assert sharing({"w": None, "b": None, "x": None}, w=w, b=b) == []
    number = 0.5
    assert sharing({"w": number, "x": number}, w=w) == []
    assert sharing({"w": X, "x": X}, source=[], w=w) == []  # a framework's own gradients
    halves = np.ones(6)
    assert sharing({"w": halves[:3], "b": halves[3:]}, w=w, b=b) == []


# --- perturbed -------------------------------------------------------------------------------------------------------


def test_the_shift_between_two_arrays():
    assert shift_between(X, X) == 0 and shift_between(X, X + 1e-3) == shift_between(X, X - 1e-3) == 1e-3
    assert shift_between(X, X + [0, 1e-5, 0]) == 1e-5 and shift_between(X, X + [1e-5, 1e-5, 0]) is None
    assert shift_between(X, X + [1e-5, 2e-5, 1e-5]) is None and shift_between(X, X + 1e-20j) == 1e-20j
    assert shift_between(X, X + (1e-5 + 1e-5j)) is None and shift_between(X, X + [1e-5, 1e-5j, 1e-5j]) is None
    assert shift_between(X, X + 2e-3 * 3 * 0.99) and shift_between(X, X + 2e-3 * 3 * 1.01) is None
    assert shift_between(0 * X, 0 * X + 1.9e-3) == 1.9e-3 and shift_between(0 * X, 0 * X + 2.1e-3) is None
    assert shift_between(X[:0], X[:0]) == 0
    assert shift_between(X, X + np.array([1e-5, 1e-5 + 1e-5j, 1e-5])) is None  # one element moves, and one turns
    large = 1e9 * X
    assert shift_between(large, large + [1e-3, 1.0001e-3, 1e-3]) is not None  # rounding


def ran(forward, *backward, budget=10**6):
    """Run forward and backward operations, each (name, operands), and return the step that they show."""
    watch = ShiftedOperations()
    watch._left = budget
    for operations, watch.in_backward in ((forward, False), (backward, True)):
        for name, *operands in operations:
            watch.operation(name, lambda *o: o[0], operands, {})
    return watch.step()


def test_a_shift_and_a_division_by_its_size_are_finite_differences():
    for divisor in (("divide", X, 1e-4), ("divide", X, 2e-4), ("multiply", X, 1e4), ("divide", X, -2e-4)):
        assert ran([("tanh", X)], ("tanh", X + 1e-4), divisor) == pytest.approx(1e-4)
    assert ran([("tanh", X)], ("tanh", X + 1e-4), ("divide", X, 3e-4)) is None
    assert ran([("tanh", X)], ("tanh", X + 1e-4), ("multiply", X, 1e-4)) is None
    assert ran([("tanh", X)], ("tanh", X + 1e-4), ("divide", X, 0.0)) is None
    assert ran([("tanh", X)], ("exp", X + 1e-4), ("divide", X, 1e-4)) is None
    assert ran([("tanh", X)], ("tanh", X), ("divide", X, 1e-4)) is None
    assert ran([("tanh", X)], ("tanh", np.append(X, 1) + 1e-4), ("divide", X, 1e-4)) is None
    assert ran([("tanh", X[:1])], ("tanh", X[:1] + 1e-4), ("divide", X, 1e-4)) is None  # numbers may be close by chance


def test_the_operand_that_divides_is_the_last_one():
    shifted = ("tanh", X + 1e-4)
    assert ran([("tanh", X)], shifted, ("divide", 1e-4, X)) is None
    assert ran([("tanh", X)], shifted, ("multiply", X, 0.5e4)) == pytest.approx(1e-4)  # a division by 2 h
    assert ran([("tanh", X)], shifted, ("multiply", X, 2e4)) is None
    assert ran([("tanh", X)], shifted, ("divide", X, 1.001e-4)) is None


def test_small_arrays_beside_large_ones():
    forward = [("add", X[:1], X), ("tanh", X[:2])]
    assert ran(forward, ("add", X[:1], X + 1e-4), ("divide", X, 1e-4)) == pytest.approx(1e-4)
    assert ran(forward, ("tanh", X[:2] + 1e-4), ("divide", X, 1e-4)) == pytest.approx(1e-4)
    assert ran([], ("tanh", X + 1e-4), ("divide", X, 1e-4)) is None


def test_an_imaginary_shift_is_the_complex_step():
    assert ran([("tanh", X)], ("tanh", X + 1e-20j)) == 1e-20j


def test_many_shifts_of_one_size_are_finite_differences():
    x = np.arange(1.0, 10.0)
    shifts = [("tanh", x + 1e-4 * (np.arange(9) == k)) for k in range(9)]
    assert ran([("tanh", x)], *shifts[:8]) == pytest.approx(1e-4) and ran([("tanh", x)], *shifts[:7]) is None
    assert ran([("tanh", x)], *(8 * shifts[:1])) is None  # eight times the same shift


def test_two_operands_may_be_shifted_by_one_size():
    two = [("add", X, 2 * X)]
    assert ran(two, ("add", X + 1e-4, 2 * X), ("divide", X, 1e-4)) == pytest.approx(1e-4)
    assert ran(two, ("add", X + 1e-4, 2 * X + 1e-4), ("divide", X, 1e-4)) == pytest.approx(1e-4)
    assert ran(two, ("add", X + 1e-4, 2 * X + 1e-5), ("divide", X, 1e-4)) is None


def test_shifts_inside_forward_do_not_count_if_backward_computes():
    forward = [("tanh", X), ("tanh", X + 1e-4), ("divide", X, 1e-4)]
    assert ran(forward, ("multiply", X, X)) is None and ran(forward) == pytest.approx(1e-4)


def test_an_operation_of_forward_that_backward_repeats_is_no_shift():
    forward = [("tanh", X), ("tanh", X + 1e-4)]
    assert ran(forward, ("tanh", X + 1e-4), ("divide", X, 1e-4)) is None


def test_the_divisor_must_be_the_step_to_four_digits():
    for h in (1.23456e-4, 1.00049e-5, float(np.cbrt(np.finfo(float).eps))):
        assert ran([("tanh", X)], ("tanh", X + h), ("divide", X, h)) == pytest.approx(h, rel=1e-3)
    assert ran([("tanh", X)], ("tanh", X + 1e-9), ("divide", X, 5e-9)) is None


def test_the_search_ends_after_a_number_of_elements():
    x = np.arange(1.0, 10.0)
    shifts = [("tanh", x + 1e-4 * (np.arange(9) == k)) for k in range(8)]
    count = 9 + 7 * 9  # before the eighth comparison
    assert ran([("tanh", x)], *shifts, budget=count) is None
    assert ran([("tanh", x)], *shifts, budget=count + 1) == pytest.approx(1e-4)


def test_operations_on_integers_are_left_out():
    ids = np.arange(3)
    assert ran([("add", ids, 1)], ("add", ids, 1), ("tanh", X + 1e-4)) is None


def test_a_forward_that_computes_differences_of_its_own_is_no_trap():
    def forward(x):
        return (np.tanh(x + 1e-3) - np.tanh(x)) / 1e-3

    def backward(dy, x):
        return dy * (np.tanh(x) ** 2 - np.tanh(x + 1e-3) ** 2) / 1e-3

    assert measured_derivative_traps(project(forward, backward, X.copy())) == []


def test_a_backward_that_measures_derivatives_is_a_trap():
    def measures(dy, x):
        h = 1e-5
        return dy * (np.tanh(x + h) - np.tanh(x - h)) / (2 * h)

    (trap,) = measured_derivative_traps(project(np.tanh, measures, X.copy()))
    assert trap.severity == "incomplete" and "1e-05" in trap.message and "finite differences itself" in trap.message
    imaginary = lambda dy, x: dy * np.tanh(x + 1e-20j).imag / 1e-20  # noqa: E731
    (trap,) = measured_derivative_traps(project(np.tanh, imaginary, X.copy()))
    assert "the complex step itself" in trap.message
    assert measured_derivative_traps(project(np.tanh, lambda dy, x: dy * (1 - np.tanh(x) ** 2), X.copy())) == []


# --- directional mode ------------------------------------------------------------------------------------------------


def test_an_entry_of_directions():
    v = [np.array([1.0, 2.0]), np.array([0.0, -1.0])]
    entry = directional_entry("x", np.array([3.0, 5.0]), [(v[0], Derivative(13, 0.1, 12, 14, True)),
                                                          (v[1], Derivative(-5, 0.2, -5, -5))])  # fmt: skip
    assert entry.analytic.tolist() == [13, -5] and entry.numeric.tolist() == [13, -5] and entry.kinks == 1
    assert (
        entry.low.tolist() == [12, -5] and entry.high.tolist() == [14, -5] and entry.uncertainty.tolist() == [0.1, 0.2]
    )
    assert (entry.checked, entry.along_directions, entry.shape) == (2, True, (2,))


def test_the_smallest_k_of_a_condition():
    for first in range(1, 10):
        assert smallest_true(lambda k, first=first: k >= first, 9) == first
    assert smallest_true(lambda k: False, 9) == 9
    tried = []
    assert smallest_true(lambda k: tried.append(k) or k >= 1, 9) == 1 and tried == [1]


def located(wrong, shape=(4, 5)):
    """Locate wrong elements of the gradient of sum(x**2 / 2), which is x."""
    x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    differences = differences_of(lambda x: (x**2).sum() / 2, x)
    array, given = differences.projection.variables["x"], x.copy()
    given[wrong] += 5
    rng = np.random.default_rng(0)
    derivatives = measure_directions(differences, array, 3, rng)
    assert len(derivatives) == 3
    box = locate_wrong_part(differences, array, given, derivatives)
    text = describe_wrong_elements(differences, array, given, derivatives, 20, rng)
    return box, text


def test_the_box_of_the_wrong_elements():
    box, text = located(np.s_[1:3, 2:4])
    assert box == np.s_[1:3, 2:4] and "[1:3, 2:4]" in text and "4 of 4 elements checked there" in text
    box, text = located(np.s_[2, 3])
    assert box == np.s_[2:3, 3:4] and text == "; the only wrong element is [2,3] given 19, true 14"
    box, text = located(np.s_[:, 0])
    assert box == np.s_[0:4, 0:1]
    box, text = located(np.s_[:, :])
    assert box == np.s_[0:4, 0:5] and "all wrong elements lie" not in text and "20 of 20 elements checked are" in text


# --- reports ---------------------------------------------------------------------------------------------------------


def test_the_verdict_of_a_report_is_the_worst():
    report = GradientReport("code", {"w": entry_of([1], [1])})
    assert report.ok and report.verdict == "right" and report.max_error == 0 and len(report) == 1
    for severity in ("note", "incomplete", "cannot tell", "wrong"):
        report.traps.append(Trap("kind", "message", severity))
        assert report.verdict == (severity if severity != "note" else "right") and report.ok is (severity == "note")
    report.traps.clear()
    report.entries["w"].verdict = "cannot tell"
    assert report.verdict == "cannot tell"


def test_the_numbers_of_a_report():
    report = GradientReport("code", {"w": entry_of([1], [1]), "b": entry_of([1], [1])})
    report.entries["w"].error, report.entries["w"].kinks, report.entries["b"].kinks = 0.5, 2, 3
    assert report.max_error == 0.5 and report.kinks == 5
    assert GradientReport("code").max_error == 0
    with pytest.raises(KeyError, match="no gradient named 'q' was checked; the checked gradients are w, b"):
        report["q"]
    assert report["w"] is report.entries["w"] and list(report) == list(report.entries.values())
    assert "code: right" in repr(report) and "5.0e-01" in repr(report)


def test_the_diagnoses_of_a_report_are_ordered_by_votes():
    a, b, c = (Diagnosis(name, "evidence") for name in "abc")
    report = GradientReport("code", {"w": entry_of([1], [1]), "b": entry_of([1], [1])})
    report.entries["w"].diagnoses, report.entries["b"].diagnoses = [a, b, c], [b, c]
    assert [d.mistake for d in report.diagnoses] == ["b", "a", "c"]  # 1/2 + 1, 1, 1/3 + 1/2
    assert report.entries["w"].diagnosis is a and entry_of([1], [1]).diagnosis is None


def test_a_diagnosis_as_text():
    assert str(Diagnosis("flipped", "given = -true")) == "flipped: given = -true"
    assert str(Diagnosis("flipped", "given = -true", "w")) == "flipped [w]: given = -true"


def test_the_worst_element_of_an_entry():
    entry = entry_of([[1, 2]], [[3, 4]], worst_index=(0, 1))
    assert entry.worst == (2, 4)
    for analytic in (np.ones(3), None, np.array([["a", "b"]])):
        entry.analytic = analytic
        assert np.isnan(entry.worst).all()
    assert np.isnan(entry_of([], []).worst).all()


def test_a_report_as_a_dictionary():
    entry = entry_of(
        [[1, 2]], [[3, 4]], worst_index=(0, np.int64(1)), error=INF, checked=2, verdict="wrong", reason="r"
    )
    entry.diagnoses = [Diagnosis("m", "e", "p", NAN)]
    assert entry.as_dict() == {
        "name": "w", "shape": [1, 2], "error": None, "worst_index": [0, 1], "worst_analytic": 2, "worst_numeric": 4,
        "verdict": "wrong", "reason": "r", "checked": 2, "kinks": 0,
        "diagnoses": [{"mistake": "m", "evidence": "e", "place": "p", "misfit": None}]}  # fmt: skip
    empty = entry_of([], []).as_dict()
    assert empty["worst_analytic"] is None and empty["worst_numeric"] is None
    report = GradientReport("code", {"w": entry}, [Trap("k", "m")], ["n"]).as_dict()
    assert report["verdict"] == "wrong" and report["ok"] is False and report["max_error"] is None
    assert report["traps"] == [{"kind": "k", "message": "m", "severity": "wrong"}] and report["notes"] == ["n"]
    assert [finite_or_none(v) for v in (1, NAN, INF, -INF)] == [1, None, None, None]
    assert isinstance(entry, Entry)

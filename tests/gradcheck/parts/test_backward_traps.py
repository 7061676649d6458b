"""Test the traps of backward, and of several calls, on code of each form."""

import io

import numpy as np
import pytest
from projections import project

import nnscratch as nn
from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.stale_forward import stale_traps
from nnscratch.gradcheck.traps import (
    accumulation_traps,
    backward_traps,
    forward_traps,
    nearly_equal,
    nested_names,
    repeats_equally,
)

X = np.array([1.0, -2.0, 3.0])
NAN = float("nan")


def kinds(traps):
    return [(trap.kind, trap.severity) for trap in traps]


def of_object(subject, *inputs):
    return Projection(make_adapter(subject, inputs or (X.copy(),)), np.random.default_rng(0))


def of_functions(forward, backward, *inputs):
    return project(forward, backward, *(inputs or (X.copy(),)))


class Scale(nn.Module):
    """y = w x as a Module. `given` is the value that backward returns for x, from (dy, w)."""

    def __init__(self, given=lambda dy, w: dy * w, uses_saved=True):
        self.w, self.given, self.uses_saved = nn.Parameter(np.array([2.0])), given, uses_saved

    def forward(self, x):
        self.x = x
        self.save_for_backward(x)
        return x * self.w.data

    def backward(self, dy):
        x = self.saved()[0] if self.uses_saved else self.x
        self.w.grad += (dy * x).sum()
        return self.given(dy, self.w.data)


class Layer:
    """y = w x with params and grads. `change` is called at the end of backward."""

    def __init__(self, change=lambda layer: None):
        self.params, self.grads = {"w": np.array([2.0, 3.0, 4.0])}, {"w": np.zeros(3)}
        self.change = change

    def forward(self, x):
        self.x = x.copy()
        return x * self.params["w"]

    def backward(self, dy):
        self.grads["w"][...] = dy * self.x
        dx = dy * self.params["w"]
        self.change(self)
        return dx


# --- one forward -----------------------------------------------------------------------------------------------------


def test_forward_saves_nothing_for_a_later_backward():
    projection = of_object(Scale())
    assert forward_traps(projection) == [] and not projection.adapter.module.__dict__.get("_stack")


def test_numbers_and_integers_are_usable_outputs():
    assert forward_traps(of_functions(lambda x: float(x.sum()), lambda x: 0 * x + 1)) == []
    outputs = of_functions(lambda x: (x**2, x.argmax(), None), lambda dy, cache: dy)
    assert forward_traps(outputs) == []


# --- one backward ----------------------------------------------------------------------------------------------------


def test_sound_code_of_each_form():
    assert backward_traps(of_object(Scale())) == backward_traps(of_object(Layer())) == []


def test_a_cached_input_that_backward_changes_is_one_trap():
    def backward(dy, cache):
        cache += 1
        return dy

    traps = backward_traps(of_functions(lambda x: (2 * x, x), backward))
    assert kinds(traps) == [("backward writes into its input", "wrong")] and "x is changed" in traps[0].message


def test_an_array_that_forward_replaces_is_no_trap():
    class Averages(Layer):
        def forward(self, x):
            self.params["m"] = 0.5 * self.params["m"] + x.mean()
            return super().forward(x)

    layer = Averages()
    layer.params["m"], layer.grads["m"] = np.zeros(()), np.zeros(())
    assert backward_traps(of_object(layer)) == []


def test_an_update_of_the_weights_is_a_note():
    def replaces(layer):
        layer.params["w"] = layer.params["w"] - layer.grads["w"]

    def changes(layer):
        layer.params["w"] -= layer.grads["w"]

    for change, word in ((replaces, "replaced"), (changes, "changed")):
        (trap,) = backward_traps(of_object(Layer(change)))
        assert (trap.kind, trap.severity) == ("backward writes into its input", "note") and word in trap.message


def test_a_gradient_is_tested_before_the_code_is_restored():
    def spoils(layer):
        layer.grads["w"][1] = NAN

    assert kinds(backward_traps(of_object(Layer(spoils)))) == [("not finite", "wrong")]


def test_the_form_of_each_gradient_is_tested():
    traps = backward_traps(of_functions(lambda x, w: x * w, lambda dy, x, w: (dy * w, (dy * x).astype("f")), X, X + 1))
    assert kinds(traps) == [("wrong dtype", "note")] and "gradient of w" in traps[0].message
    assert backward_traps(of_functions(lambda x, w: x * w, lambda dy, x, w: (dy * w, None), X, X + 1)) == []


def test_gradients_of_nested_inputs_in_one_tuple():
    def backward(dy, x, state):
        return dy, dy, 2 * dy

    traps = backward_traps(of_functions(lambda x, state: x + state[0] + 2 * state[1], backward, X, (X + 1, X + 2)))
    assert kinds(traps) == [("not nested like the inputs", "note")]
    assert traps[0].message.endswith("dx, (dstate[0], dstate[1])")

    class Cell(nn.Module):
        def forward(self, x, state):
            return x + state[0] + 2 * state[1]

        def backward(self, dy):
            return dy, dy, 2 * dy

    assert kinds(backward_traps(of_object(Cell(), X, (X + 1, X + 2)))) == [("not nested like the inputs", "wrong")]


def test_the_names_of_nested_gradients():
    assert nested_names("dx", X) == "dx" and nested_names("ds", (X, [X, X])) == "(ds[0], (ds[1][0], ds[1][1]))"


def test_a_gradient_in_a_tuple_or_a_list():
    (trap,) = backward_traps(of_functions(lambda x: 2 * x, lambda dy, x: (2 * dy,)))
    assert (trap.kind, trap.severity) == ("not an array", "note") and "Remove the comma" in trap.message
    traps = backward_traps(of_functions(lambda x: 2 * x, lambda dy, x: (2 * dy).tolist()))
    assert traps[0].severity == "note" and "returns a list" in traps[0].message and "comma" not in traps[0].message
    assert kinds(backward_traps(of_object(Scale(lambda dy, w: (dy * w,))))) == [("not an array", "wrong")]


def test_a_gradient_in_a_tuple_of_an_object_whose_weights_were_found():
    class Found:
        def __init__(self):
            self.w = np.array([2.0, 3.0, 4.0])

        def forward(self, x):
            self.x = x
            return x * self.w

        def backward(self, dy):
            self.dw = dy * self.x
            return (dy * self.w,)

    report = check_gradients(Found(), X)
    assert list(report.entries) == ["w", "x"] and kinds(report.traps) == [("not an array", "note")]


def test_the_name_of_the_changed_upstream_gradient():
    def changed(forward, backward):
        (trap,) = backward_traps(of_functions(forward, backward))
        assert (trap.kind, trap.severity) == ("backward writes into dy", "note")
        return trap.message.split()[2]

    def of_one(dy, x):
        dy *= 2
        return dy

    def of_two(dy, dz, x):
        dz *= 2
        return dy + dz

    def of_a_pair(dy, x):
        dy[1][...] *= 2
        return dy[0] + dy[1]

    assert changed(lambda x: 2 * x, of_one) == "dy"
    assert changed(lambda x: (x + 0, 2 * x), of_two) == "dy[1]"
    assert changed(lambda x: [x + 0, 2 * x], of_a_pair) == "dy[0][1]"
    assert changed(lambda x: [x + 0, 2 * x], lambda dy, x: dy.pop() * 2 + dy[0]) == "dy[0][1]"
    assert changed(lambda x: {"a": x + 0, "b": 2 * x}, lambda dy, x: dy["a"] + 2 * dy.pop("b")) == "dy[0]['b']"


def test_a_backward_that_removes_the_upstream_gradients_from_their_list_is_checked():
    def right(dy, x):
        return 2 * dy.pop() + dy.pop()

    def wrong(dy, x):
        return 3 * dy.pop() + dy.pop()

    for backward, verdict in ((right, "right"), (wrong, "wrong")):
        report = check_gradients((lambda x: ([x + 0, 2 * x], x), backward), X)
        (entry,) = report.entries.values()
        assert entry.verdict == verdict and kinds(report.traps) == [("backward writes into dy", "note")] * 2
        assert not any("failed" in note for note in report.notes), report.notes
        assert "removes dy[0][1] from the list or dictionary" in report.traps[1].message


def test_values_that_backward_does_not_use():
    traps = backward_traps(of_object(Scale(uses_saved=False)))
    assert kinds(traps) == [("saved but not used", "note")] and traps[0].message.startswith("Scale:")


def test_a_changed_cache_matters_only_if_a_second_backward_differs():
    def forward(x):
        return 2 * x, [np.zeros(k) for k in (1, 2, 3, 4)]

    def counts(dy, cache):
        for a in cache:
            a += 1
        return dy * (1 + cache[2])

    def scribbles(dy, cache):
        cache[2][...] = dy
        return 2 * dy

    (trap,) = backward_traps(of_functions(forward, counts))
    assert (trap.kind, trap.severity) == ("backward writes into the cache", "wrong")
    assert all(shape in trap.message for shape in ("(1,)", "(2,)", "(3,)")) and "(4,)" not in trap.message
    assert backward_traps(of_functions(forward, scribbles)) == []


def test_the_cache_of_an_object_is_private():
    class Triples(Layer):
        def backward(self, dy):
            dx = super().backward(dy)
            self.x *= 3
            return dx

    assert kinds(backward_traps(of_object(Triples()))) == [("backward writes into the cache", "note")]


def test_some_gradients_repeat_and_others_do_not():
    calls = []

    def backward(dy, x, w):
        calls.append(0)
        return dy, dy if len(calls) % 2 else 3 * dy

    assert not repeats_equally(of_functions(lambda x, w: x + w, backward, X, X))
    assert repeats_equally(of_functions(lambda x, w: x + w, lambda dy, x, w: (dy, None), X, X))

    def once(dy, x, w):
        calls.append(0)
        return (dy, dy) if len(calls) % 2 else (dy, None)

    calls.clear()
    assert repeats_equally(of_functions(lambda x, w: x + w, once, X, X))


# --- accumulated gradients -------------------------------------------------------------------------------------------


class Overwrites(Scale):
    """Overwrites the gradient of w, and adds to that of v."""

    def __init__(self, **changes):
        super().__init__()
        self.v = nn.Parameter(np.array([1.0, 0.0]))
        self.changes = changes

    def forward(self, x):
        return super().forward(x) + self.v.data[0]

    def backward(self, dy):
        self.w.grad[...] = 0
        self.v.grad[0] += dy.sum()
        dx = super().backward(dy)
        for name, change in self.changes.items():
            gradient = getattr(self, name).grad
            gradient[...] = change(gradient)
        return dx


def test_each_overwritten_gradient_is_named():
    projection = of_object(Overwrites())
    analytic = projection.analytic()
    (trap,) = accumulation_traps(projection, analytic)
    assert trap.message.startswith("w.grad") and trap.severity == "wrong"
    assert not projection.adapter.module.__dict__.get("_stack")
    assert accumulation_traps(projection, analytic | {"w": np.zeros(2)}) == []  # another shape


def test_an_overwritten_gradient_may_have_zeros():
    projection = of_object(Overwrites(v=lambda g: np.array([6.0, 0.0])))
    traps = accumulation_traps(projection, projection.analytic())
    assert [trap.message.split(".")[0] for trap in traps] == ["w", "v"]


def test_a_gradient_that_is_neither_equal_nor_doubled_is_no_trap():
    projection = of_object(Overwrites(w=lambda g: 3 * g))
    assert accumulation_traps(projection, {"w": projection.analytic()["w"] / 3}) == []


# --- several forwards ------------------------------------------------------------------------------------------------


def test_the_other_inputs_have_the_dtypes_of_the_inputs():
    log = io.StringIO()  # a list would be restored

    def forward(x, ids, scale):
        print(x.dtype, ids, scale, file=log)
        return x[ids] * scale

    def backward(dy, x, ids, scale):
        dx = np.zeros_like(x)
        np.add.at(dx, ids, dy * scale)
        return dx

    projection = of_functions(forward, backward, X.astype("f"), np.array([0, 2]), 2)
    assert stale_traps(projection) == []
    assert set(log.getvalue().splitlines()) == {"float32 [0 2] 2"}


def test_an_array_without_a_gradient_is_not_compared():
    assert stale_traps(of_functions(lambda x, w: x * w, lambda dy, x, w: (dy * w, None), X, X + 1)) == []


def test_integers_alone_have_no_other_inputs():
    table = np.arange(4.0)
    assert stale_traps(of_functions(lambda ids: table[ids], lambda dy, ids: None, np.array([1, 2]))) == []


def test_the_other_inputs_show_a_mask_of_the_first_forward():
    # The reversed inputs have other signs.
    class Relu:
        def forward(self, x):
            if not hasattr(self, "mask"):
                self.mask = x > 0
            return np.where(x > 0, x, 0)

        def backward(self, dy):
            return dy * self.mask

    assert kinds(stale_traps(of_object(Relu(), np.array([1.0, -2.0])))) == [("stale cache", "wrong")]


def test_a_backward_gets_the_inputs_of_its_cache():
    def forward(x):
        return x**2, x + 0

    assert stale_traps(of_functions(forward, lambda dy, x, cache: dy * (x + cache))) == []


def test_the_message_names_the_arrays_and_the_inputs():
    kept = {}

    def forward(x, w):
        kept["x"] = x.copy()
        return x * w, (x.copy(), w)

    wrong = of_functions(forward, lambda dy, cache: (dy * cache[1], dy * kept["x"]), X, X + 1)
    (trap,) = stale_traps(wrong)
    assert "the gradient of w is not the gradient for A" in trap.message and "wrong forward" in trap.message


def test_weights_that_backward_updates_are_put_back():
    class Updates(Layer):
        def backward(self, dy):
            dx = super().backward(dy)
            self.params["w"] -= 0.1 * self.grads["w"]
            return dx

    layer = Updates()
    projection = of_object(layer)
    assert stale_traps(projection) == [] and layer.params["w"].tolist() == [2, 3, 4]
    assert projection.adapter.inputs[0].tolist() == X.tolist()


class Appends:
    """y = x**2. Appends to a list that backward uses as a stack, or sums up."""

    def __init__(self, sums):
        self.kept, self.sums = [], sums

    def forward(self, x):
        self.kept.append(x)
        return x**2

    def backward(self, dy):
        return 2 * dy * (sum(self.kept) if self.sums else self.kept[-1])


def test_a_list_that_grows_keeps_only_one_forward():
    assert stale_traps(of_object(Appends(sums=False))) == []
    (trap,) = stale_traps(of_object(Appends(sums=True)))
    assert (trap.kind, trap.severity) == ("only the last forward kept", "note") and "list" in trap.message


def test_an_error_of_the_second_backward_is_a_note():
    class Single(Scale):
        def forward(self, x):
            self.x = x
            return x * self.w.data

        def backward(self, dy):
            x, self.x = self.x, None
            self.w.grad += (dy * x).sum()
            return dy * self.w.data

    projection = of_object(Single())
    (trap,) = stale_traps(projection)
    assert (trap.kind, trap.severity) == ("only the last forward kept", "note") and "TypeError" in trap.message
    assert projection.adapter.inputs[0].tolist() == X.tolist()


def test_a_module_saves_nothing_after_the_search():
    projection = of_object(Scale())
    assert stale_traps(projection) == [] and not projection.adapter.module.__dict__.get("_stack")


# --- comparisons -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor, equal", [(1, True), (1 + 0.5e-6, True), (1 + 2e-6, False)])
def test_nearly_equal_uses_the_largest_element_of_both(factor, equal):
    small = np.array([1e-3, 0.5e-3])
    assert nearly_equal(small, factor * small) is equal and nearly_equal(factor * small, small) is equal
    assert nearly_equal(np.array([-1000.0, 0.0]), np.array([-1000.0, 0.9e-3]))

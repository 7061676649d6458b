"""Test the names of the gradients that backward returns, and the gradients of arrays that are not inputs."""

import linecache
from types import SimpleNamespace

import numpy as np
import pytest

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.adapters.order import (
    array_outside,
    gradients_of_outside,
    in_input_order,
    is_saved,
    names_in_code,
    reordered,
    returned_gradient_names,
    simple_steps,
    some_in_input_order,
    whole_input,
)

X, W, B = np.ones((4, 3)), np.ones((3, 2)), np.ones(2)
DX, DW, DB = 2 * X, 3 * W, 4 * B


# --- the names in the compiled code ----------------------------------------------------------------------------------


def test_names_of_variables_and_attributes():
    def backward(self, dy, x):
        both = (dy, x)
        dx, dw = both
        if dy is None:
            return dx
        later = lambda: dw  # noqa: E731 - so dw is in a closure
        return self.dv, dx, later(), dw, self.layer.db

    assert names_in_code(backward) == ["dv", "dx", "", "dw", "db"]


def test_an_expression_has_no_name():
    def backward(dx, dw, f, k):
        return 2 * dx, dx[0], dx[k], f(dx, axis=k), -dx, dx + dw, dx.sum(), [dx, dw], dx[k:], f(dx)(dw), not dx, dw

    assert names_in_code(backward) == [""] * 11 + ["dw"]


def test_the_name_of_a_global_variable():
    scope = {}
    exec("def backward(dy):\n    global dW\n    dW = dy\n    return dW, dy\n", scope)
    assert names_in_code(scope["backward"]) == ["dW", "dy"]


def test_the_last_return_of_several_values_counts():
    def backward(dx, dw, flag):
        if flag:
            return dx, dw
        for _ in range(3):
            dx = dx + dw
        if dx is None:
            return dx
        return dw, dx

    assert names_in_code(backward) == ["dw", "dx"]


def test_values_that_depend_on_a_condition_have_no_names():
    assert names_in_code(lambda dx, dw, db: (dw, dx or db)) == []
    assert names_in_code(lambda dx, dw, db: (dx or db, dw)) == []
    assert names_in_code(lambda dx, dw, db: (dw, dx and db, db)) == []


def test_functions_without_such_names():
    class Layer:
        def backward(self, dx, dw):
            return dx, dw

    assert names_in_code(Layer().backward) == ["dx", "dw"]
    for function in (len, lambda dx: dx, lambda dx, dw: (dx, (dw, dx)), lambda dx, dw: ((dw, dx), dx), lambda: (1, 2)):
        assert names_in_code(function) == []
    assert names_in_code(lambda dx, dw: [dx, dw]) == [] and names_in_code(lambda dx, dw: (dx, dw)[0]) == []


def test_a_pair_of_loads_in_one_instruction():  # since Python 3.13
    step = SimpleNamespace(opname="LOAD_FAST_LOAD_FAST", argval=("dx", "dw"), is_jump_target=False)
    assert simple_steps(step) == [("LOAD_FAST", n, 1, False) for n in ("dx", "dw")]
    step.is_jump_target = True  # the jump goes to the first of the two loads
    assert simple_steps(step) == [("LOAD_FAST", "dx", 1, True), ("LOAD_FAST", "dw", 1, False)]


# --- the names in the source -----------------------------------------------------------------------------------------


def test_names_in_the_source():
    def backward(dy, dx, dw, db):
        def inner():
            return db, db

        if dy is None:
            return dx, dw
        if dw is None:
            return dw, (db, 2 * dx)
        return dx

    assert returned_gradient_names(backward) == ["dw", "db", ""]  # the last return of several values
    assert returned_gradient_names(lambda dw, dx: (dw, dx)) == []

    def one(dx):
        return dx

    assert returned_gradient_names(one) == []


# --- gradients in another order --------------------------------------------------------------------------------------


def never():
    raise AssertionError("the names are not needed")


def in_order(result, inputs, *returned):
    """Return the gradients in the order of the inputs x, w, b, and the note."""
    return in_input_order(result, ["x", "w", "b"][: len(inputs)], inputs, lambda: list(returned))


def same(found, *wanted):
    return len(found) == len(wanted) and all(a is b for a, b in zip(found, wanted, strict=True))


def test_gradients_in_the_order_of_the_inputs_stay_as_they_are():
    ids, of_ids = np.arange(4), np.zeros(4)
    for result, inputs in (
        ((DX, DW, DB), (X, W, B)), ((DX, None, DB), (X, W, B)), ((DX, DW, 5.0), (X, W)),
        ((DX, DB), (X, ids, B)), ((DX, of_ids, DB), (X, ids, B)), ((DX, None, DB), (X, ids, B)),
    ):  # fmt: skip
        assert in_input_order(result, ["x", "w", "b"][: len(inputs)], inputs, never) == (result, "")


def test_gradients_are_matched_by_their_names():
    says = "backward returns {}; the checker matched them to x, w, b by their names"
    found, note = in_order((DW, DB, DX), (X, W, B), "loss", "dw", "db", "dx")
    assert same(found, DX, DW, DB) and note == says.format("dw, db, dx")
    square, other = np.ones((2, 2)), np.full((2, 2), 7.0)  # the shapes cannot tell the first two
    found, note = in_order((other, DB, square), (square, square, B), "dw", "db", "dx")
    assert same(found, square, other, DB) and note == says.format("dw, db, dx")
    found, note = in_order((DB, DX), (X, np.arange(4), B), "db", "dx")
    assert same(found, DX, None, DB) and note == says.format("db, dx").replace("x, w, b", "x, b")


def test_a_gradient_of_a_wrong_shape_keeps_its_place():
    result = (DW, DB, DX[:1])  # the names say what they are, so a gradient of x has the wrong shape
    assert in_order(result, (X, W, B), "dw", "db", "dx") == (result, "")


@pytest.mark.parametrize("returned", [(), ("", "", ""), ("dq", "dr", "ds"), ("dx", "", ""), ("dw", "db")])
def test_without_names_the_shapes_decide(returned):
    found, note = in_order((DW, DB, DX), (X, W, B), *returned)
    assert same(found, DX, DW, DB)
    assert (
        note == "backward does not return the gradients in the order x, w, b; the checker matched them by their shapes"
    )
    other = 7 * B  # two inputs have the shape of b
    result = (other, DB, DX)
    gradients, note = in_order(result, (X, B, B), *(returned if "dw" not in returned else ()))
    assert gradients is result and note.endswith(
        "several orders fit their shapes; return them in the order of the inputs"
    )
    result = (DW, DB, DX[:1])
    assert in_order(result, (X, W, B), *returned) == (result, "")  # no order fits


def test_gradients_of_which_one_is_none_are_not_matched_by_their_shapes():
    result = (DB, None, DX)
    assert in_order(result, (X, W, B)) == (result, "")


@pytest.mark.parametrize(("count", "known"), [(6, True), (7, False)])
def test_at_most_six_gradients_are_matched_by_their_shapes(count, known):
    inputs = tuple(np.ones(k + 1) for k in range(count))
    names, result = [f"v{k}" for k in range(count)], tuple(2 * v for v in inputs)
    gradients, note = in_input_order(result[::-1], names, inputs, list)
    assert same(gradients, *(result if known else result[::-1])) and bool(note) == known
    floats = [*zip(names, inputs, strict=True)]
    gradients, note = some_in_input_order(result[1::-1], floats, list)
    assert bool(note) == known
    assert list(gradients) == ["v1", "v0"] if known else same(gradients, *result[1::-1])


def test_a_gradient_too_many_comes_last():
    extra = np.ones(9)
    found, _ = in_order((DW, extra, DX), (X, W))
    assert same(found, DX, DW, extra)
    assert same(reordered((DB, None, extra, DX), (X, np.arange(4), B), [0, 2], (3, 0)), DX, None, DB, extra)


# --- gradients of some inputs ----------------------------------------------------------------------------------------

FLOATS = [("x", X), ("w", W), ("b", B)]


def some(result, *returned, floats=FLOATS):
    return some_in_input_order(result, floats, lambda: list(returned))


def test_gradients_of_some_inputs_in_their_order():
    for result in ((DX, DW), (DX, DB), (DW, DB), (DX,), (DB,), (DB, None), (np.ones(7), DX)):
        assert some_in_input_order(result, FLOATS, never) == (result, "")
    result = (DB, DW)
    found, note = in_order(result, (X, W, B))
    assert note and list(found) == ["b", "w"]


def test_gradients_of_some_inputs_in_another_order():
    found, note = some((DB, DW))
    assert list(found) == ["b", "w"] and found["b"] is DB and found["w"] is DW
    assert note == "the checker assigned the gradients from backward to b, w, in this order"
    two = [("x", B), ("y", B), ("w", W)]  # only the names can tell x from y
    for returned, names in (
        ((), ["w", "x"]), (("dw", "dy"), ["w", "y"]), (("loss", "dw", "dy"), ["w", "y"]), (("dw", "dx"), ["w", "x"]),
        (("dw", "dq"), ["w", "x"]), (("", "dy"), ["w", "y"]),
    ):  # fmt: skip
        found, note = some((DW, DB), *returned, floats=two)
        assert list(found) == names and ", ".join(names) in note


# --- one list of parameters ------------------------------------------------------------------------------------------


def test_the_list_that_the_gradients_belong_to():
    params = [W, B]
    for result in ((DW, DB), [DW, DB]):
        assert whole_input(result, ["x", "params"], (X, params), list) == "params"
        assert whole_input(result, ["params", "x", "y"], ((W, B), X, X), list) == "params"


@pytest.mark.parametrize("result, inputs", [
    ((DB, DW), ([W, B], X)), ((DW,), ([W, B], X)), ((DW, DB, DX), ([W, B], X)), ((DW, 1.0), ([W, B], X)),
    ((DW, None), ([W, B], X)), ({"W": DW, "b": DB}, ([W, B], X)), (np.ones((2, 2)), ([B, B], X)),
    ((DW, DB), (W, X)), ((np.ones((1, 3)),), (np.ones((1, 3)), X)), ((DW, DB, DW, DB), ([(W, B), (W, B)], X)),
    ((DW, DB), ([W, B], [W, B])), ((DB, DB), ([B, np.arange(2)], X)), (None, ([W, B], X)),
    ([np.ones((1, 3))], (np.ones((1, 3)), X)),
])  # fmt: skip
def test_gradients_that_are_not_those_of_one_list(result, inputs):
    assert whole_input(result, ["a", "b"], inputs, list) is None


@pytest.mark.parametrize("result, returned, whole", [
    ((DB,), ["dx"], None), ((DB,), ["dh"], "hs"), ((DB,), ["dhs"], "hs"), ((DB,), ["dz"], None), ((DB,), [], None),
    ([DB], ["dx"], None), ([DB], [], "hs"), ([DB], ["", "grads"], "hs"), ((DB,), ["loss", "dx"], None),
])  # fmt: skip
def test_the_gradients_of_a_list_or_of_the_inputs_before_it(result, returned, whole):
    assert whole_input(result, ["x", "hs"], (B, [B]), lambda: returned) == whole
    first = None if "dx" in returned else "hs"
    assert whole_input(result, ["hs", "x"], ([B], B), lambda: returned) == first  # the list is the first input
    assert whole_input(result, ["ids", "x", "hs"], (np.arange(3), B, [B]), lambda: returned) == whole


def test_the_gradients_of_a_list_behind_inputs_of_other_shapes():
    assert whole_input((DB,), ["x", "hs"], (X, [B]), list) == "hs"
    assert whole_input((DW, DB), ["w", "x", "params"], (W, X, [W, B]), list) == "params"
    assert whole_input([DW, DB], ["params", "x"], ([W, B], X), lambda: ["", "grads"]) == "params"


# --- arrays that are not inputs --------------------------------------------------------------------------------------

V = np.arange(6.0).reshape(3, 2)
U = np.full(2, 5.0)


def outside(function, result, names, inputs, *returned):
    """Return the gradients of other arrays, and those of the inputs, from the names in the return statement."""
    return gradients_of_outside(function, result, names, inputs, lambda: list(returned))


def reads_globals(x):
    return x @ V + U


def test_gradients_of_global_weights():
    given, own = outside(reads_globals, (1.0, DW, DB, DX), ["x"], (X,), "loss", "dV", "dU", "dx")
    assert list(given) == ["dV", "dU"] and given["dV"] is DW and given["dU"] is DB
    assert list(own) == ["x"] and own["x"] is DX
    given, own = outside(reads_globals, (DW, DX), ["x", "y"], (X, B), "", "dV", "dx")  # a loss in front
    assert list(given) == ["dV"] and list(own) == ["x"]


def test_the_adapter_keeps_the_gradients_of_other_arrays():
    def loss(x):
        dx, dV, dU = DX, DW, DB
        return float(reads_globals(x).sum() + (V**2).sum() + U.sum()), dx, dV, dU

    adapter = make_adapter(loss, (X,))
    adapter.run()
    assert adapter.gradients((1.0,))["x"] is DX and list(adapter.surplus) == ["dV", "dU"]


def test_an_input_hides_a_global_of_its_name():
    def loss(V, x):
        return x @ V + U

    given, own = outside(loss, (DW, DX, DB), ["V", "x"], (W, X), "dV", "dx", "dU")
    assert list(given) == ["dU"] and own["V"] is DW and own["x"] is DX


def test_gradients_of_inputs_only():
    result = (DX, DW)
    for returned in (("dx", "dw"), ("dw", "dx"), ("", ""), (), ("dx",), ("dq", "dr")):
        given, own = outside(lambda x, w: x @ w, result, ["x", "w"], (X, W), *returned)
        assert given == {} and own is result


def test_gradients_that_fit_all_inputs_belong_to_them():
    # backward calls its second gradient dV, the name of a global array
    result = (DX, DW)
    assert outside(lambda x, w: x @ V, result, ["x", "w"], (X, W), "dx", "dV") == ({}, result)
    assert outside(lambda x, w, n: x @ V, result, ["x", "w", "n"], (X, W, 3), "dx", "dV") == ({}, result)
    given, own = outside(lambda x, b: x @ V, result, ["x", "b"], (X, B), "dx", "dV")  # not the shape of b
    assert list(given) == ["dV"] and list(own) == ["x"]
    given, own = outside(reads_globals, (DX, DW, DB), ["x", "w"], (X, W), "dx", "dV", "dU")
    assert list(given) == ["dV", "dU"] and list(own) == ["x"]


def test_a_saved_input_is_the_input():
    class Layer:
        def __init__(self):
            self.W, self.b, self.x = V, U, None

        def loss(self, inputs, targets):
            self.x = inputs
            return ((self.x @ self.W + self.b - targets) ** 2).sum()

    layer, x, t = Layer(), np.full((4, 3), 2.0), np.zeros((4, 2))
    for layer.x in (x, x.copy()):
        given, own = outside(layer.loss, (DW, DX, DB), ["inputs", "targets"], (x, t), "dW", "dx", "db")
        assert list(given) == ["dW", "db"] and list(own) == ["inputs"] and own["inputs"] is DX
    layer.x = x + 1
    given, own = outside(layer.loss, (DW, DX, DB), ["inputs", "targets"], (x, t), "dW", "dx", "db")
    assert list(given) == ["dW", "dx", "db"] and own == {}


def test_an_input_with_a_gradient_of_its_name_was_not_saved_under_another_one():
    first = np.full(2, 3.0)

    def loss(h):
        return first @ h

    given, own = outside(loss, (DB, DW, 2 * DB), ["h"], (first,), "dfirst", "dV", "dh")
    assert list(given) == ["dfirst"] and own["h"].tolist() == (2 * DB).tolist()


def test_the_first_array_that_has_one_of_the_names():
    local = np.ones(7)

    def closure():
        return local + V

    assert array_outside(closure, ["local"]) is local and array_outside(closure, ["V"]) is V
    assert array_outside(closure, ["nothing", "V", "local"]) is V and array_outside(closure, ["nothing"]) is None
    assert array_outside(closure, ["U"]) is None  # a global that the function does not read
    assert array_outside(np.add, ["V"]) is None and array_outside(len, ["V"]) is None


def test_a_global_is_no_attribute_of_its_name():
    class Layer:
        V, W = 3.0, None

        def __init__(self):
            self.W = W

        def forward(self, x):
            return self.V * x + self.W

    assert array_outside(Layer().forward, ["V"]) is None and array_outside(Layer().forward, ["W"]) is W


def test_only_arrays_count():
    scope = {"rate": 0.1, "np": np, "M": W}
    exec("def loss(x):\n    return rate * x @ M\n", scope)
    assert array_outside(scope["loss"], ["rate", "M"]) is W and array_outside(scope["loss"], ["rate"]) is None


def test_a_saved_input_shares_memory_or_has_the_values():
    zeros, some = np.zeros(3), np.array([0.0, 1.0, 2.0])
    assert is_saved(zeros, zeros[1:]) and is_saved(some, some.copy()) and not is_saved(some, 2 * some)
    assert not is_saved(zeros, np.zeros(3))  # a first state and a bias
    assert not is_saved(1.0, np.ones(())) and not is_saved([1.0], np.ones(1))


def test_the_text_of_another_program_with_the_same_file_name_is_not_used(monkeypatch):
    # Python 3.13 keeps the text of `python -c`, and its file name is that of a program that exec runs.
    for other in ("import sys\n", "def other(dy):\n    return dy, dy\n", "# no statement\n"):
        lines = other.splitlines(keepends=True)
        monkeypatch.setitem(linecache.cache, "<string>", (len(other), None, lines, "<string>"))
        scope = {}
        exec("def backward(dw, dx):\n    return dw, dx\n", scope)
        scope["backward"].__module__ = "__main__"
        assert returned_gradient_names(scope["backward"]) == ["dw", "dx"]
    assert returned_gradient_names(lambda dw, dx: (dw, dx)) == []

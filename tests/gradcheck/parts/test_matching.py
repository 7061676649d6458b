"""Test which gradient is assigned to which input."""

import ast

import numpy as np
import pytest

from nnscratch.gradcheck.adapters.matching import (
    Match,
    add,
    fits,
    is_target_name,
    label_rank,
    match_gradients,
    match_keys,
    match_some,
    nested_as_inputs,
    numbers_with_gradients,
    shape_of,
    skipped_inputs,
)
from nnscratch.gradcheck.adapters.order import (
    in_input_order,
    names_in,
    reordered,
    returned_gradient_names,
    some_in_input_order,
)

X, W, B = np.ones((4, 3)), np.ones((3, 2)), np.ones(2)
DX, DW, DB = 2 * X, 3 * W, 4 * B


def same(given, expected):
    return given.keys() == expected.keys() and all(given[name] is expected[name] for name in expected)


# --- match_gradients -------------------------------------------------------------------------------------------------


def test_gradients_of_all_inputs_have_their_order():
    match = match_gradients((DX, DW, DB), ["x", "w", "b"], (X, W, B))
    assert same(match.given, {"x": DX, "w": DW, "b": DB}) and list(match.surplus) == [] and match.missing == []


def test_values_after_the_gradients_belong_to_no_input():
    match = match_gradients([DX, DW, DB, 7.0], ["x", "w", "b"], (X, W, B))
    assert same(match.given, {"x": DX, "w": DW, "b": DB}) and match.surplus == [7.0]


def test_an_input_that_is_not_a_float_has_a_position_but_no_gradient():
    ids = np.arange(3)
    match = match_gradients((None, DW), ["ids", "w"], (ids, W))
    assert same(match.given, {"w": DW}) and match.surplus == []
    match = match_gradients((DW, DB), ["ids", "w", "b"], (ids, W, B))
    assert same(match.given, {"w": DW, "b": DB})


def test_gradients_in_a_dictionary_have_the_names_of_the_inputs():
    match = match_gradients({"dw": DW, "dx": DX, "loss": 1.0}, ["x", "w", "b"], (X, W, B))
    assert same(match.given, {"x": DX, "w": DW}) and match.surplus == {"loss": 1.0} and match.missing == ["b"]


def test_one_gradient_belongs_to_the_input_of_its_shape():
    for result in (DW, (DW,), [DW]):
        assert same(match_gradients(result, ["x", "w"], (X, W)).given, {"w": DW})
    assert same(match_gradients((DX,), ["x"], (X,)).given, {"x": DX})


def test_a_weight_without_a_gradient_is_missing():
    match = match_gradients((DX,), ["x", "w"], (X, W))
    assert same(match.given, {"x": DX}) and match.missing == ["w"]
    assert match_gradients((DW,), ["x", "w"], (X, W)).missing == []  # x is not the name of a weight


def test_the_gradients_of_one_nested_input():
    match = match_gradients((DX, DW), ["state"], ((X, W),))
    assert same(match.given, {"state[0]": DX, "state[1]": DW})
    match = match_gradients(((DX, DW),), ["state"], ((X, W),))
    assert same(match.given, {"state[0]": DX, "state[1]": DW})


def test_a_state_before_the_weights_may_have_no_gradient():
    h = np.ones(4)
    match = match_gradients((DW, DB, h), ["h0", "w", "b"], (h, W, B))
    assert same(match.given, {"w": DW, "b": DB}) and match.surplus[0] is h


# --- its parts -------------------------------------------------------------------------------------------------------


def test_the_number_of_skipped_inputs():
    h = np.ones(4)
    floats = [("h", h), ("w", W), ("b", B)]
    assert skipped_inputs((W, B, h), (h, W, B), floats) == 1
    assert skipped_inputs((h, W, B), (h, W, B), floats) == 0  # they fit from the first one on
    assert skipped_inputs((W, B), (h, W, B), floats) == 0  # too few
    assert skipped_inputs((W, B, W), (h, W, B), floats) == 1  # the last value may be anything
    assert skipped_inputs((None, B, h), (h, W, B), floats) == 0  # None fits every input, so it shows nothing
    assert skipped_inputs((B, h, h), (h, W, B), floats) == 0  # w would have no gradient, and one input is too few
    five = [("g", h), ("h", h), ("w", W), ("b", B)]
    assert skipped_inputs((W, B, h, h), (h, h, W, B), five) == 2
    same_shapes = [("x", X), ("a", B), ("b", B), ("c", B), ("d", B)]
    assert skipped_inputs((B, B, B, B, B), (X, B, B, B, B), same_shapes) == 0  # 1 and 2 fit
    ids = np.arange(2)
    assert skipped_inputs((W, B, h), (ids, h, W, B), floats) == 1


def test_gradients_that_fit_from_the_first_input_on_skip_nothing():
    a, b, c = np.ones(2), np.ones(2), np.ones(2)
    assert skipped_inputs((a, b, c), (a, b, c), [("a", a), ("b", b), ("c", c)]) == 0  # b and c would fit too
    h, ids = np.ones(2), np.ones((3, 2), int)
    floats = [("h", h), ("w", W), ("b", B)]
    assert skipped_inputs((np.zeros((3, 2)), h, W, B), (ids, h, W, B), floats) == 0  # the first one belongs to ids
    assert skipped_inputs((W, B, h), (h, W, B), floats) == 1  # only the last one fits at its position


def test_the_shapes_decide_which_inputs_have_gradients():
    def given(gradients, floats):
        match = Match()
        match_some(gradients, floats, match)
        return list(match.given), match.surplus

    floats = [("x", X), ("w", W), ("b", B)]
    assert given([DW, DB], floats) == (["w", "b"], []) and given([DX, DB], floats) == (["x", "b"], [])
    assert given([DX, DW, DB], floats) == (["x", "w", "b"], [])
    assert given([DX, DW, DB, 1.0, 2.0], floats) == (["x", "w", "b"], [1.0, 2.0])
    assert given([np.ones(9), np.ones(9)], floats) == (["w", "b"], [])  # no shape fits, but two names are of weights
    assert given([np.ones(9)], floats) == (["x"], [])


def test_names_decide_if_several_inputs_have_the_shape():
    def given(gradients, *names):
        match = Match()
        match_some(gradients, [(name, B) for name in names], match)
        return list(match.given)

    assert given([DB], "x", "w") == ["w"] and given([DB], "x", "h") == ["x"]
    assert given([DB], "y_true", "h") == ["h"] and given([DB], "y_true", "y_pred") == ["y_pred"]
    assert given([DB], "y_true", "target") == ["y_true"]
    assert given([DB, DB], "y", "y_pred", "t_mean") == ["y_pred", "t_mean"]  # t_mean is no target
    assert given([DB, DB], "y", "y_pred", "target") == ["y", "y_pred"]
    assert given([DB, DB], "y", "p", "labels", "target") == ["y", "p"]
    assert given([DB, DB, DB], "t", "y", "y_pred", "labels") == ["t", "y", "y_pred"]
    assert given([DB, DB], "y_true", "h", "k") == ["h", "k"]
    many = [f"x{k}" for k in range(13)]
    assert given([DB, DB], *many) == ["x0", "x1"]


def test_with_many_inputs_the_first_ones_are_taken():
    def given(count):
        match = Match()
        match_some([DB], [(f"x{k}", X) for k in range(count - 1)] + [("z", B)], match)
        return list(match.given)

    assert given(12) == ["z"] and given(13) == ["x0"]


def test_a_flat_tuple_is_nested_like_the_inputs():
    h, c = np.ones((4, 5)), np.zeros((4, 5))
    dx, (dh, dc) = nested_as_inputs((X, h, c), (X, (h, c)))
    assert dx is X and dh is h and dc is c
    assert nested_as_inputs((X, (h, c)), (X, (h, c))) is None  # nested already
    assert nested_as_inputs([X, h, c], (X, (h, c))) is None  # a list
    assert nested_as_inputs((X, h), (X, (h, c))) is None and nested_as_inputs((X, h, c, c), (X, (h, c))) is None
    assert nested_as_inputs((h, c), ((h, c),)) is None and nested_as_inputs((X, h), (X, h)) is None
    assert nested_as_inputs((X, h, X), (X, (h, c))) is None  # a wrong shape
    assert nested_as_inputs((X, h, 1.0), (X, (h, c))) is None and nested_as_inputs((X, h, c), (X, (h, 1.0))) is None
    dx, (dh, dids, dc) = nested_as_inputs((X, h, c), (X, (h, np.arange(2), c)))
    assert dx is X and dh is h and dids is None and dc is c


def test_the_names_of_targets():
    assert list(map(label_rank, ("w", "x", "y_pred", "y", "Y", "t", "y_true", "mask"))) == [0, 0, 0, 1, 1, 2, 2, 2]
    assert is_target_name("y") and is_target_name("x") is is_target_name("X") and not is_target_name("y_hat")
    assert not is_target_name("w")


def test_a_gradient_fits_its_input():
    assert fits(X, None) and fits(X, DX) and not fits(X, DW) and not fits(X, (DX,)) and not fits(X, {"x": DX})
    assert fits(3.0, 1.0) and fits(np.array(3.0), 1.0) and not fits(3.0, B)
    assert fits((X, W), (DW, DX)) and fits([X, W], (DX, DW)) and not fits((X, W), (DX,)) and not fits((X, W), DX)
    assert fits({"W": W}, {"dW": DW}) and fits({"W": W, "b": B}, {"db": DB})
    assert not fits({"W": W}, {"loss": DW}) and not fits({"W": W}, DW)


def test_the_shape_of_numbers_and_arrays():
    assert shape_of(X) == (4, 3) and shape_of(2.0) == () and shape_of([1.0, 2.0]) == (2,)


def added(name, value, gradient):
    match = Match()
    add(match, name, value, gradient)
    return match.given


def test_the_gradient_of_one_input():
    assert same(added("x", X, DX), {"x": DX}) and added("w", W, None) == {"w": None}
    assert added("y_true", X, None) == {} and added("n", 3, 1.0) == {} and added("ids", np.arange(2), DB) == {}


def test_the_gradients_of_nested_inputs():
    assert same(added("s", (X, W), (DX, DW)), {"s[0]": DX, "s[1]": DW})
    given = added("s", (X, W), (DX,))
    assert given["s[0]"] is DX and given["s[1]"] is None
    assert same(added("s", (X, W), DX), {"s[0]": DX, "s[1]": DX})


def test_one_gradient_for_a_dictionary_or_the_reverse():
    assert same(added("params", {"W": W, "b": B}, DW), {"params['W']": DW, "params['b']": DW})
    gradient = {"dx": DX}
    assert same(added("x", X, gradient), {"x": gradient})


def test_the_gradients_in_a_dictionary_of_parameters():
    given = added("params", {"W": W, "b": B, "lr": np.ones(1)}, {"db": DB})
    assert same(given, {"params['W']": None, "params['b']": DB})  # a setting needs no gradient
    given = added("params", {"W": W, "n": 3}, {"dW": DW})
    assert same(given, {"params['W']": DW})
    given = added("params", {"layer": {"W": W, "b": B}}, {"layer": {"dW": DW, "db": DB}})
    assert same(given, {"params['layer']['W']": DW, "params['layer']['b']": DB})


def test_the_gradients_of_a_dictionary_of_parameters_in_a_flat_dictionary():
    params = {"W": W, "b": B, "lr": np.ones(1)}
    match = Match()
    assert match_keys({"dW": DW, "loss": 1.0}, [("params", params)], match) == {"dW"}
    assert same(match.given, {"params['W']": DW, "params['b']": None})  # a setting needs no gradient
    match = Match()
    assert match_keys({"loss": 1.0}, [("params", params)], match) == set() and match.given == {}
    match = Match()
    assert match_keys({"dW": DW, "db": DB, "dlr": DB}, [("params", params)], match) == {"dW", "db", "dlr"}
    assert list(match.given) == ["params['W']", "params['b']", "params['lr']"]


def test_inputs_that_are_not_floats_in_a_dictionary_of_gradients():
    match = match_gradients({"dids": DB, "dw": DW}, ["ids", "w"], (np.arange(2), W))
    assert same(match.given, {"w": DW}) and list(match.surplus) == ["dids"]
    match = match_gradients(DW, ["ids", "w"], (np.arange(2), W))
    assert same(match.given, {"w": DW})


# --- Python numbers with a gradient ----------------------------------------------------------------------------------


def numbers_of(result, inputs, *returned):
    """Return the names of the numbers that have a gradient, if the inputs are x, w and b."""
    return numbers_with_gradients(result, ["x", "w", "b"][: len(inputs)], inputs, lambda: list(returned))


def test_numbers_have_a_gradient_of_their_name():
    result = {"dx": DX, "dw": 2.0, "db": 3.0}
    assert numbers_of(result, (X, 0.5, 1.0)) == ["w", "b"] and numbers_of(result, (2.0, 0.5, 1.0)) == ["w", "b"]
    assert numbers_of({"dx": 1.0, "db": 3.0}, (2.0, 0.5, 1.0)) == ["x", "b"]
    assert numbers_of({"b": 3.0, "x": 1.0}, (2.0, 0.5, 1.0)) == ["b"]  # x may be a copy of the input
    assert numbers_of({"db": np.array(3.0)}, (X, W, 1.0)) == ["b"]


def test_an_integer_has_a_gradient_if_it_has_the_name_of_a_weight():
    assert numbers_of({"dx": 1.0, "dw": 2.0, "db": 3.0}, (2, 1, 0)) == ["w", "b"]
    assert numbers_of({"dx": 1.0, "dw": 2.0, "db": 3.0}, (2, np.int64(1), True)) == []


def test_gradients_that_are_no_numbers():
    for gradient in (DB, "text", None, 3, np.arange(2), np.array(3), ()):
        assert numbers_of({"db": gradient}, (X, W, 1.0)) == []
    assert numbers_of({"db": DB, "dw": 2.0}, (X, W, B)) == [] and numbers_of(3.0, (X, W, 1.0)) == []
    assert numbers_of([DX, DW, 3.0], (X, W, 1.0), "dx", "dw", "db") == []


def test_numbers_in_the_return_statement():
    result = (DX, DW, 3.0)
    assert numbers_of(result, (X, W, 1.0), "dx", "dw", "db") == ["b"]
    assert numbers_of(result, (X, W, 1.0), "loss", "dx", "dw", "db") == ["b"]
    assert numbers_of((1.0, *result), (X, W, 1.0), "dw", "db") == numbers_of(result, (X, W, 1.0)) == []
    assert numbers_of(result, (X, W, 1.0), "dx", "dw", "") == []
    assert numbers_with_gradients(result, ["x", "w", "b"], (X, W, B), none) == []


# --- the order of the gradients --------------------------------------------------------------------------------------


def none():
    raise AssertionError("the shapes are enough")


def names(*given):
    return lambda: list(given)


def test_gradients_in_the_order_of_the_inputs_stay():
    result = (DX, DW, DB)
    assert in_input_order(result, ["x", "w", "b"], (X, W, B), none) == (result, "")
    result = (None, DW)
    assert in_input_order(result, ["ids", "w"], (np.arange(2), W), none) == (result, "")
    result = (np.zeros(2), DW)
    assert in_input_order(result, ["ids", "w"], (np.arange(2), W), none) == (result, "")
    result = (DW,)
    assert in_input_order(result, ["ids", "w"], (np.arange(2), W), none) == (result, "")


def test_the_names_in_the_return_statement_show_the_order():
    ordered, note = in_input_order((DW, DB, DX), ["x", "w", "b"], (X, W, B), names("dw", "db", "dx"))
    assert [id(g) for g in ordered] == [id(DX), id(DW), id(DB)]
    assert "returns dw, db, dx;" in note and "to x, w, b by their names" in note
    ordered, _ = in_input_order((1.0, DW, DX), ["x", "w"], (X, W), names("loss", "dw", "dx"))
    assert ordered[0] is DX and ordered[1] is DW and ordered[2] == 1.0


def test_a_name_of_a_gradient_of_the_wrong_shape_is_believed():
    result = (DW, DB, DX)
    assert in_input_order(result, ["x", "w", "b"], (X, W, B), names("dx", "dw", "db")) == (result, "")


def test_a_note_only_if_the_names_fit_all_shapes():
    result = (DX, DB, DW)  # the name dw stands at a gradient of the shape of b
    assert in_input_order(result, ["x", "w", "b"], (X, W, B), names("dx", "dw", "db")) == (result, "")


def test_an_input_without_floats_needs_no_gradient():
    ordered, _ = in_input_order((DB, DW), ["w", "ids", "b"], (W, np.arange(2), B), names())
    assert ordered[0] is DW and ordered[1] is None and ordered[2] is DB


def test_the_shapes_show_the_order_without_names():
    for known in (names(), names("", "", ""), names("dw", "dw", "dx"), names("da", "dc", "dx"), names("dw", "dx")):
        ordered, note = in_input_order((DW, DB, DX), ["x", "w", "b"], (X, W, B), known)
        assert [id(g) for g in ordered] == [id(DX), id(DW), id(DB)] and "by their shapes" in note


def test_several_orders_that_fit_are_not_resolved():
    result = (DB, DB, DX)
    ordered, note = in_input_order(result, ["x", "a", "b"], (X, B, B), names())
    assert ordered is result and "several orders fit" in note


def test_gradients_that_fit_in_no_order_stay():
    for result in ((DW, DB, DB), (None, DB, DX)):
        assert in_input_order(result, ["x", "w", "b"], (X, W, B), names()) == (result, "")


def test_with_many_gradients_only_the_names_are_used():
    arrays = [np.ones(k + 1) for k in range(7)]
    for count, moved in ((6, True), (7, False)):
        inputs = tuple(arrays[:count])
        ordered, note = in_input_order(inputs[::-1], [f"x{k}" for k in range(count)], inputs, names())
        assert bool(note) is moved and (ordered[0] is inputs[0]) is moved


def test_some_gradients_in_another_order():
    floats = [("x", X), ("w", W), ("b", B)]
    for result in ((DX, DB), (DW, DB), (DX, None), (None, DX)):
        assert some_in_input_order(result, floats, names()) == (result, "")
    given, note = some_in_input_order((DB, DW), floats, names())
    assert same(given, {"b": DB, "w": DW}) and "gradients from backward to b, w, in this order" in note
    result = (DB, np.ones(9))
    assert some_in_input_order(result, floats, names()) == (result, "")  # no order fits


def test_names_choose_between_several_orders():
    floats = [("x", X), ("u", B), ("v", B)]
    assert list(some_in_input_order((DB, DX), floats, names())[0]) == ["u", "x"]
    assert list(some_in_input_order((DB, DX), floats, names("dv", "dx"))[0]) == ["v", "x"]
    assert list(some_in_input_order((DB, DX), floats, names("loss", "dv", "dx"))[0]) == ["v", "x"]
    assert list(some_in_input_order((DB, DX), floats, names("dv", ""))[0]) == ["v", "x"]  # the known name decides


def test_some_of_many_gradients_stay():
    for count, moved in ((6, True), (7, False)):
        floats = [(f"x{k}", np.ones(k + 1)) for k in range(count)]
        result = (np.ones(2), np.ones(1))
        assert (some_in_input_order(result, floats, names())[0] is not result) is moved


def test_a_reordered_result_has_one_gradient_for_each_input():
    assert reordered(["b", "a", None, "extra"], (1.0, 5, 2.0), [0, 2], [1, 0]) == ["a", None, "b", "extra"]


def backward_of_this_file(dy, x):
    def inner():
        return 1, 2, 3

    if dy is None:
        return x, dy
    dx, (dh, dc) = dy, (x, inner())
    return dx, (dh, [dc]), 2 * dx, x.T


def test_the_names_in_the_last_return_statement():
    assert returned_gradient_names(backward_of_this_file) == ["dx", "dh", "dc", "", "T"]
    assert returned_gradient_names(len) == [] and returned_gradient_names(lambda dy: (dy, dy)) == []
    assert names_in(ast.parse("a + 1", mode="eval").body) == [""]
    assert returned_gradient_names(names) == []  # it returns one value


@pytest.mark.parametrize("function", [lambda: (1, 2), print])
def test_functions_without_a_readable_return(function):
    assert returned_gradient_names(function) == []

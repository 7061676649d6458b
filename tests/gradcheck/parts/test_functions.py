"""Test the arguments that a backward function gets, and the functions that return a loss and its gradients."""

from functools import wraps

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters.functions import PairAdapter, ValueAndGradientAdapter

X, W = np.array([[1.0, -2.0, 3.0], [0.5, 1.0, 2.0]]), np.array([[2.0, 3.0, 4.0]])
A, B, C = (np.full(2, k) for k in (3.0, 4.0, 5.0))  # outputs and caches
DA, DB = np.full(2, 30.0), np.full(2, 40.0)


def called(forward, backward, *inputs, dys=(DA,)):
    """Return the positions of the checked outputs, and the arguments of backward."""
    got = []

    @wraps(backward)
    def recording(*arguments, **options):
        got.append((*arguments, options) if options else arguments)
        return inputs[0]

    adapter = PairAdapter(forward, recording, inputs)
    adapter.run()
    adapter.gradients(dys)
    return list(adapter.used.checked), got[0]


def assert_called(forward, backward, *inputs, gives, dys=(DA,), checked=(0,)):
    found, got = called(forward, backward, *inputs, dys=dys)
    assert found == list(checked)
    assert list(map(str, got)) == list(map(str, gives))  # all arrays of this file have different values


# --- the outputs and the cache of a pair -----------------------------------------------------------------------------


def test_the_cache_comes_after_the_outputs():
    assert_called(lambda x: (A, "kept"), lambda dout, cache: 0, X, gives=(DA, "kept"))
    assert_called(lambda x: (A, B, "kept"), lambda da, db, cache: 0, X, gives=(DA, DB, "kept"), dys=(DA, DB),
                  checked=(0, 1))  # fmt: skip
    assert_called(lambda x: (A, C), lambda dout, c: 0, X, gives=(DA, C))
    assert_called(lambda x: (A, "kept"), lambda *given: 0, X, gives=(DA, "kept"))
    assert_called(lambda x: (A, "kept"), lambda dout, x: 0, X, gives=(DA, "kept"))  # for example, x was padded
    assert_called(lambda x, w: (A, B, "kept"), lambda da, w, kept: 0, X, W, gives=(DA, W, "kept"), dys=(DA, DB),
                  checked=(0, 1))  # fmt: skip
    assert_called(lambda x: A, lambda dout: 0, X, gives=(DA,))
    assert_called(lambda x: (A,), lambda dout: 0, X, gives=((DA,),), dys=((DA,),))
    ((inner,),) = PairAdapter(lambda x: (A,), lambda dout: 0, (X,)).run()  # the output is a tuple, and so is dout
    assert inner is A
    assert_called(lambda x: A, lambda dout, x: 0, X, gives=(DA, X))


def test_the_last_value_is_an_output_if_backward_takes_its_gradient():
    both = {"dys": (DA, DB), "checked": (0, 1)}
    assert_called(lambda x: (A, B), lambda da, db: 0, X, gives=(DA, DB), **both)
    assert_called(lambda x: (A, B), lambda da, db, x: 0, X, gives=(DA, DB, X), **both)
    assert_called(lambda x: (A, B), lambda x, da, db: 0, X, gives=(X, DA, DB), **both)


def test_the_last_value_is_a_cache_if_backward_does_not_take_its_gradient():
    assert_called(lambda x: (A, C), lambda da, kept, x: 0, X, gives=(DA, C, X))
    assert_called(lambda x, w: (A, C), lambda da, x, w: 0, X, W, gives=(DA, X, W))
    assert_called(lambda x: (A, "kept"), lambda da, db: 0, X, gives=(DA, "kept"))  # a text has no gradient
    assert_called(lambda x: (A, (B, C)), lambda da, db, x: 0, X, gives=(DA, (B, C), X))
    assert_called(lambda x: (A, np.arange(2)), lambda x: 0, X, gives=(X,))


def test_a_cache_may_have_a_name_like_a_gradient():
    def dropout(x):
        d = np.array([[2.0, 0.0, 2.0]])
        return x * d, d

    def split(x):
        return x[:, :1], x[:, 1:]

    def with_loss(x):
        d = 2 * x
        return x**2, (x**2).sum(), d

    def both_named(d):
        return d * d, d

    assert_called(with_loss, lambda dy, d: 0, X, gives=(DA, 2 * X))  # backward takes no gradient of the loss
    assert_called(both_named, lambda dy, d: 0, X, gives=(DA, X))
    assert check_gradients((dropout, lambda dy, d: dy * d), X).ok
    assert not check_gradients((dropout, lambda dy, d: 2 * dy * d), X).ok
    assert check_gradients((split, lambda da, db: np.concatenate([da, db], axis=1)), X).ok
    assert not check_gradients((split, lambda da, db: np.concatenate([da, -db], axis=1)), X).ok
    assert not check_gradients((split, lambda da, db: np.concatenate([da, 0 * db], axis=1)), X).ok


def test_a_value_by_which_backward_multiplies_is_a_cache_and_not_an_output():
    def tanh(x):
        return np.tanh(x), 1 - np.tanh(x) ** 2

    assert check_gradients((tanh, lambda upstream, local_grad: upstream * local_grad), X).ok
    assert check_gradients((tanh, lambda dy, d: dy * d), X).ok
    assert not check_gradients((tanh, lambda dy, d: dy * (1 - d)), X).ok
    assert not check_gradients((tanh, lambda dy, d: dy), X).ok


def test_backward_may_take_the_gradients_of_some_outputs():
    loss = np.float64(7.0)
    assert_called(lambda x: (A, loss, "kept"), lambda da, cache: 0, X, gives=(DA, "kept"))
    assert_called(lambda x: (loss, A, "kept"), lambda cache: 0, X, gives=("kept",), dys=(1.0,))  # only the loss
    adapter = PairAdapter(lambda x: (loss, A, "kept"), lambda cache: 0, (X,))
    adapter.run()
    assert adapter.notes == ["backward takes no gradient, so only the loss was checked, and not the other outputs"]
    two = {"dys": (DA, DB), "checked": (0, 1)}
    assert_called(lambda x: (A, B, "kept"), lambda cache: 0, X, gives=("kept",), **two)  # there is no loss
    assert_called(lambda x: (A, loss, "kept"), lambda dout: 0, X, gives=(DA,))  # dout is a gradient, and no cache
    assert_called(lambda x: (A, B, "kept"), lambda x, da, db: 0, X, gives=(X, DA, DB), **two)
    assert_called(lambda x, d: (loss, A, "kept"), lambda cache, d: 0, X, W, gives=("kept", W), dys=(1.0,))
    assert_called(lambda x: (A, loss, "kept"), lambda *given: 0, X, gives=(DA, DB, "kept"), **two)


def test_the_cache_is_that_of_the_last_forward():
    results = iter([(A, "kept"), A])
    adapter = PairAdapter(lambda x: next(results), lambda *given: given[1], (X,))
    adapter.run()
    adapter.run()
    np.testing.assert_array_equal(adapter.gradients((DA,))["x"], X)  # there is no cache, so the input comes second


# --- the arguments of backward ---------------------------------------------------------------------------------------


def test_a_backward_with_any_number_of_arguments():
    assert_called(lambda x, w: A, lambda *given: 0, X, W, gives=(DA, X, W))
    assert_called(lambda x, w: 7.0, lambda *given: 0, X, W, gives=(X, W), dys=(1.0,))
    assert_called(lambda x, w: (7.0, "kept"), lambda *given: 0, X, W, gives=(1.0, "kept"), dys=(1.0,))


def test_the_backward_of_a_loss_gets_the_inputs():
    assert_called(lambda x, w: 7.0, lambda a, b: 0, X, W, gives=(X, W), dys=(1.0,))
    assert_called(lambda x, w: 7.0, lambda w, x: 0, X, W, gives=(W, X), dys=(1.0,))
    assert_called(lambda x, w: 7.0, lambda up, a, b: 0, X, W, gives=(1.0, X, W), dys=(1.0,))


def test_optional_arguments_of_backward_that_are_inputs():
    assert_called(lambda x, w: A, lambda dout, x, w=None, mode="max": 0, X, W, gives=(DA, X, {"w": W}))


def test_an_argument_with_the_name_of_an_output_that_is_no_input():
    def forward(x):
        if x is None:
            return x
        out = 2 * x
        return out

    assert_called(forward, lambda dout, out: 0, X, gives=(DA, 2 * X))


def test_the_defaults_of_forward():
    def forward(x, p=0.5):
        return A

    assert_called(forward, lambda dout, x, p: 0, X, gives=(DA, X, 0.5))
    assert_called(forward, lambda dout, x, p: 0, X, 0.25, gives=(DA, X, 0.25))


def test_the_derivatives_of_one_loss_for_each_element():
    def quantile(outputs, q):
        return outputs**2 * q

    def slope(outputs, q):
        return 2 * outputs * q

    def quantile_backward(outputs, q):
        return 2 * outputs * q

    def total(outputs, q):
        return np.ones(5)

    q, dy = np.array([0.5, 1.0, 2.0]), np.array([10.0, 20.0, 30.0])
    for backward, factor, note in ((slope, dy, True), (quantile_backward, 1, False)):
        adapter = PairAdapter(quantile, backward, (X[0], q))
        adapter.run()
        np.testing.assert_array_equal(adapter.gradients((dy,))["outputs"], 2 * X[0] * q * factor)
        assert adapter.notes == ["slope takes no dy, so the checker multiplied its result by dy"] * note
        assert bool(adapter.is_loss) is note
    adapter = PairAdapter(quantile, total, (X[0], q))
    adapter.run()
    assert adapter.gradients((dy,))["outputs"].tolist() == [1] * 5 and adapter.notes == []  # it has another shape


@pytest.mark.parametrize(("result", "end"), [(A, "and no cache"), ((A, "kept"), "and a cache")])
def test_a_backward_with_too_many_arguments_is_refused(result, end):
    adapter = PairAdapter(lambda x: result, lambda dout, p, q, r: 0, (X,))
    adapter.run()
    with pytest.raises(TypeError, match=rf"forward takes 1 input\(s\) and returns 1 output\(s\), {end}\. Write two"):
        adapter.gradients((DA,))


# --- a loss and its gradients from one function ----------------------------------------------------------------------


def of(result, *inputs, names="x", dys=(1.0,)):
    """Return the outputs of a function with this result, and the gradients."""
    scope = {"result": result}
    exec(f"def loss_and_gradients({', '.join(names)}):\n    return result\n", scope)
    adapter = ValueAndGradientAdapter(scope["loss_and_gradients"], inputs or (X,))
    return adapter.run(), adapter.gradients(dys)


DX, DW = 2 * X, 3 * W


def test_a_loss_and_its_gradients():
    (loss,), given = of((7.0, DX))
    assert loss == 7.0 and given["x"] is DX
    for rest in ((DX, DW), ((DX, DW),), ({"x": DX, "w": DW},), ({"dw": DW, "dx": DX},), (A, {"x": DX, "w": DW}),
                 ({"x": DX, "w": DW}, A), (A, {}, {"x": DX, "w": DW})):  # fmt: skip
        (loss,), given = of((7.0, *rest), X, W, names="xw")
        assert loss == 7.0 and given["x"] is DX and given["w"] is DW


def test_the_gradients_may_come_before_the_loss():
    grads = {"dx": DX, "dw": DW}
    for result in ((grads, 7.0), ((DX, DW), 7.0), ([DX, DW], 7.0), (grads, 7.0, A), (grads, np.float64(7.0))):
        (loss,), given = of(result, X, W, names="xw")
        assert loss == 7.0 and given["x"] is DX and given["w"] is DW
    (loss,), given = of(((A, B), 7.0, grads), X, W, names="xw")  # the first values are predictions
    assert loss == 7.0 and given["x"] is DX and given["w"] is DW
    loss = np.array([[7.0]])
    (found,), given = of((grads, loss), X, W, names="xw")  # as in propagate(w, b, X, Y) with a loss of shape (1, 1)
    assert found is loss and given["x"] is DX


def test_several_outputs_and_their_gradient():
    outputs = [A, B]
    for result in ((outputs, DX), ({"a": A}, {"x": DX})):
        (found,), given = of(result)
        assert found is result[0] and given["x"] is DX


def test_an_output_and_its_backward():
    for outputs in (A, [A, B], {"a": A, "b": B}):
        (found,), given = of((outputs, lambda dy: (dy[0] * DX,)), dys=(DA,))
        assert found is outputs and (given["x"] == 30 * DX).all()


@pytest.mark.parametrize("result", [7.0, A, (7.0,), [7.0, DX], None])
def test_other_results_are_refused(result):
    with pytest.raises(
        TypeError, match="loss_and_gradients must return .loss, gradient. or .output, backward function."
    ):
        of(result)

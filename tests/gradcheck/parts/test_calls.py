"""Test how the arguments of backward are recognised, the adapters of plain functions, and the errors for other code."""

import numpy as np
import pytest

from nnscratch.gradcheck.adapters.base import NO_CACHE
from nnscratch.gradcheck.adapters.calls import (
    bind_arguments,
    gradients_taken,
    is_cache_name,
    is_gradient_argument,
    optional_names,
    required_names,
    returned_names,
    takes_one_tuple,
    usual_outputs,
)
from nnscratch.gradcheck.adapters.functions import PairAdapter, ValueAndGradientAdapter
from nnscratch.gradcheck.adapters.refusals import (
    class_refusal,
    object_refusal,
    pair_refusal,
    signature_text,
    value_and_gradient_refusal,
)

X, W = np.array([1.0, -2.0, 3.0]), np.array([2.0, 3.0, 4.0])
DY = np.array([1.0, 2.0, 3.0])


# --- names of arguments ----------------------------------------------------------------------------------------------


def unpacks(dys, cache):
    dy, dh = dys
    return dy + dh


def reads_items(grads, cache):
    return grads[0] + grads[1]


def reads_rows(dy, cache):
    return dy[0] + dy[1]


def test_a_backward_that_takes_one_tuple_of_gradients():
    assert takes_one_tuple(unpacks, 2) and takes_one_tuple(reads_items, 2)
    assert not takes_one_tuple(unpacks, 3) and not takes_one_tuple(reads_items, 3)
    assert not takes_one_tuple(unpacks, 1)  # one output: dys is an array
    assert not takes_one_tuple(reads_rows, 2)  # the name says that dy is one array
    assert not takes_one_tuple(lambda dy, dh: dy + dh, 2) and not takes_one_tuple(len, 2)


def test_required_and_optional_arguments():
    def function(a, /, b, c=1, *, d, e=2):
        pass

    def positional(a=1, /, b=2):
        pass

    assert required_names(function) == ["a", "b"] and optional_names(function) == ["c", "e"]
    assert optional_names(positional) == ["b"] and required_names(positional) == []
    assert required_names(lambda *args: None) is None and required_names(lambda a, **kw: None) == ["a"]
    assert required_names(lambda a, *args: None) is None
    assert required_names(3) is None and optional_names(3) == []


def test_names_of_caches_and_gradients():
    assert all(map(is_cache_name, ("cache", "linear_Cache", "memory", "saved", "stored", "ctx", "res")))
    assert not any(map(is_cache_name, ("x", "memories", "w")))
    assert all(map(is_gradient_argument, ("dout", "DOUT", "g", "up", "upstream_x", "dY", "dz", "dx1", "d_out", "delta2",
                                          "my_grad", "err_y", "dvalues", "error_term")))  # fmt: skip
    assert not any(map(is_gradient_argument, ("data", "x", "z", "dict", "y", "supply", "derr")))
    assert not is_gradient_argument("xY") and is_gradient_argument("d") and is_gradient_argument("dW2long")


def test_the_names_that_a_function_returns():
    def forward(x):
        h_t = 2 * x
        if x.sum():
            return h_t
        return x + 1

    class Layer:
        def forward(self, x):
            self.y = x
            return self.y

        def other(self, x):
            return None

    assert returned_names(forward) == ["h_t"] and returned_names(Layer().forward) == ["y"]
    assert returned_names(Layer().other) == [] and returned_names(len) == []
    assert returned_names(lambda x: X) == []  # a global variable


# --- arguments -------------------------------------------------------------------------------------------------------


def test_arguments_are_bound_by_their_names():
    inputs = {"x": "x", "w": "w"}
    assert bind_arguments(["dy", "x", "w"], inputs, ["dy"], {}) == ["dy", "x", "w"]
    assert bind_arguments(["w", "up", "x"], inputs, ["dy"], {}) == ["w", "dy", "x"]
    assert bind_arguments(["dy", "y"], inputs, ["dy"], {"y": "y"}) == ["dy", "y"]
    assert bind_arguments(["dy", "a", "b"], inputs, ["dy"], {}) == ["dy", "x", "w"]
    assert bind_arguments(["dy", "a", "b", "c"], inputs, ["dy"], {}) is None
    assert bind_arguments([], inputs, ["dy"], {}) == []


def test_the_arguments_with_names_of_gradients_receive_the_gradients():
    inputs = {"x": "x"}
    assert bind_arguments(["inputs", "grad_output"], inputs, ["dy"], {}) == ["x", "dy"]
    assert bind_arguments(["inputs", "dh", "dc"], inputs, ["dy", "dz"], {}) == ["x", "dy", "dz"]
    assert bind_arguments(["inputs", "grad_output"], inputs, ["dy", "dz"], {}) == ["dy", "dz"]  # one name for two
    assert bind_arguments(["inputs", "grad_output", "kept"], inputs, ["dy"], {}, "c") == ["c", "dy", "x"]


def test_the_usual_names_of_an_output():
    names = ["inputs", "outputs", "grads_wrt_outputs"]
    assert usual_outputs(names, ["x"], ["y"]) == {"outputs": "y"}
    assert usual_outputs(names, ["x", "outputs"], ["y"]) == {}  # outputs is an input
    assert usual_outputs(names, ["x"], ["y", "z"]) == usual_outputs(["inputs", "outputs"], ["x"], ["y"]) == {}


def test_a_cache_is_bound_by_its_name_or_after_the_gradients():
    inputs = {"x": "x"}
    assert bind_arguments(["cache", "dy"], inputs, ["dy"], {}, "c") == ["c", "dy"]
    assert bind_arguments(["dy", "kept"], inputs, ["dy"], {}, "c") == ["dy", "c"]
    assert bind_arguments(["dy", "kept", "a"], inputs, ["dy"], {}, "c") == ["dy", "c", "x"]
    assert bind_arguments(["dy", "kept"], inputs, ["dy", "dz"], {}, "c") == ["dy", "c"]  # not dz
    assert bind_arguments(["x", "kept"], inputs, ["dy", "dz"], {}, "c") == ["x", "c"]
    assert bind_arguments(["dy", "cache"], inputs, ["dy"], {}) == ["dy", "x"]  # there is no cache
    assert bind_arguments(["cache", "cache2", "dy"], inputs, ["dy"], {}, "c") == ["c", "x", "dy"]
    assert bind_arguments(["dy", "dz"], inputs, ["a", "b"], {}, "c") == ["a", "b"]  # both have names of gradients
    assert bind_arguments(["dy", "x"], inputs, ["dy"], {}, "c") == ["dy", "x"]
    assert bind_arguments(["dy", "d"], inputs, ["dy"], {}, "c") == ["dy", "c"]


def test_the_number_of_gradients_that_backward_takes():
    assert gradients_taken(["dy", "dz", "x", "y", "cache"], {"x": 1}, ["y"], True) == 2
    assert gradients_taken(["dy", "kept"], {}, [], True) == 1 and gradients_taken(["dy", "kept"], {}, [], False) == 2
    assert gradients_taken(["dy", "cache"], {}, [], False) == 2
    assert gradients_taken(["dy", "x"], {"x": 1}, [], True) == 1
    assert gradients_taken(["dy", "of_h", "cache"], {}, [], True) == 2
    assert gradients_taken(["kept", "x"], {"x": 1}, [], True) == 0


# --- pairs -----------------------------------------------------------------------------------------------------------


def outcome(forward, backward, *inputs, dys=(DY,)):
    """Run a pair. Return the outputs as lists, and the gradients."""
    adapter = PairAdapter(forward, backward, inputs or (X, W))
    ys = adapter.run()
    given = adapter.gradients(dys)
    return len(ys), {name: None if g is None else np.asarray(g).tolist() for name, g in given.items()}, adapter


PRODUCT = {"x": (DY * W).tolist(), "w": (DY * X).tolist()}


def product(x, w):
    return x * w


def with_cache(x, w):
    return x * w, (x, w)


def test_the_forms_of_a_pair():
    assert outcome(product, lambda dy, x, w: (dy * w, dy * x))[:2] == (1, PRODUCT)
    assert outcome(product, lambda x, w, dy: (dy * w, dy * x))[:2] == (1, PRODUCT)
    assert outcome(product, lambda dy, a, b: (dy * b, dy * a))[:2] == (1, PRODUCT)
    assert outcome(product, lambda *args: (args[0] * args[2], args[0] * args[1]))[:2] == (1, PRODUCT)
    assert outcome(product, lambda dy: (dy * W, dy * X))[:2] == (1, PRODUCT)
    assert outcome(product, lambda dy, x, w=None, mode="max": (dy * w, dy * x))[:2] == (1, PRODUCT)
    for backward in (lambda dy, cache: (dy * cache[1], dy * cache[0]), lambda *a: (a[0] * a[1][1], a[0] * a[1][0]),
                     lambda cache, dy: (dy * cache[1], dy * cache[0]), lambda x, w, c: (DY * w, DY * x)):  # fmt: skip
        count, given, adapter = outcome(with_cache, backward)
        assert (count, given) == (1, PRODUCT) and adapter.cached() is adapter.cache


def test_a_pair_of_a_scalar_function_and_its_gradient():
    def total(x, w):
        return (x * w).sum()

    expected = {"x": W.tolist(), "w": X.tolist()}
    for backward in (lambda x, w: (w, x), lambda a, b: (b, a), lambda *args: (args[1], args[0])):
        assert outcome(total, backward, dys=(1.0,))[:2] == (1, expected)
    assert outcome(total, lambda dy, x, w: (dy * w, dy * x), dys=(1.0,))[:2] == (1, expected)
    twice = outcome(total, lambda dy, x: (dy * W, dy * x), dys=(2.0,))[1]
    assert twice["x"] == (2 * W).tolist()


def test_an_argument_with_the_name_of_the_output_gets_the_output():
    def forward(x):
        y = np.tanh(x)
        return y

    assert outcome(forward, lambda dy, y: dy * (1 - y**2), X)[1] == {"x": (DY * (1 - np.tanh(X) ** 2)).tolist()}


def test_a_cache_of_none_or_a_function():
    for cache, known in ((None, None), (len, ()), ((1, 2), (1, 2))):
        _, given, adapter = outcome(lambda x, cache=cache: (2 * x, cache), lambda dy, cache: 2 * dy, X)
        assert given == {"x": (2 * DY).tolist()} and adapter.cached() == known
    _, _, adapter = outcome(lambda x: 2 * x, lambda dy: 2 * dy, X)
    assert adapter.cache is NO_CACHE and adapter.cached() == ()


def test_every_output_may_have_a_gradient():
    def forward(x):
        return 2 * x, 3 * x

    count, given, adapter = outcome(forward, lambda dy, dz, x: 2 * dy + 3 * dz, X, dys=(DY, DY))
    assert (count, given) == (2, {"x": (5 * DY).tolist()}) and adapter.cache is NO_CACHE and adapter.notes == []
    count, given, adapter = outcome(forward, lambda dy, h: 2 * dy + 0 * h, X)
    assert count == 1 and adapter.cache.tolist() == (3 * X).tolist()  # the last value is the cache
    count, given, adapter = outcome(forward, lambda dy, dh: 2 * dy + 3 * dh, X, dys=(DY, DY))
    assert (count, given) == (2, {"x": (5 * DY).tolist()}) and adapter.cache is NO_CACHE
    count, _, adapter = outcome(lambda x: (2 * x, [1]), lambda dy, dz, x: 2 * dy, X)
    assert count == 1 and adapter.cache == [1]  # not a float
    adapter = PairAdapter(forward, lambda dy, dz, cache, x: 2 * dy, (X,))
    assert len(adapter.run()) == 1 and adapter.cache is not NO_CACHE
    count, _, adapter = outcome(forward, lambda dy, extra, x: 2 * dy, X)
    assert count == 1 and adapter.cache is not NO_CACHE


def test_gradients_of_some_outputs():
    def forward(x):
        return 2 * x, 3 * x, 4 * x, x

    count, given, adapter = outcome(forward, lambda dy, cache: 2 * dy, X)
    assert (count, given) == (1, {"x": (2 * DY).tolist()}) and len(adapter.outputs) == 3
    assert len(adapter.notes) == 1 and "gradients of 1 of 3 outputs" in adapter.notes[0]
    count, _, adapter = outcome(forward, lambda dy, dz, da, cache: 2 * dy, X, dys=(DY, DY, DY))
    assert count == 3 and adapter.notes == []
    count, _, adapter = outcome(forward, lambda *args: 2 * args[0], X, dys=(DY, DY, DY))
    assert count == 3 and adapter.notes == []


def test_a_backward_that_needs_more_is_refused():
    adapter = PairAdapter(product, lambda dy, x, w, stride, pad: dy, (X, W))
    adapter.run()
    with pytest.raises(TypeError, match=r"takes 2 input\(s\) and returns 1 output\(s\), and no cache") as caught:
        adapter.gradients((DY,))
    assert "stride=..., pad=..." in str(caught.value)
    adapter = PairAdapter(with_cache, lambda dy, a, b, c, d: dy, (X, W))
    adapter.run()
    with pytest.raises(TypeError, match="and a cache"):
        adapter.gradients((DY,))


# --- one function ----------------------------------------------------------------------------------------------------


def of_one(function, *inputs, dys=(1.0,)):
    adapter = ValueAndGradientAdapter(function, inputs or (X,))
    (y,) = adapter.run()
    return float(np.sum(y)), {name: np.asarray(g).tolist() for name, g in adapter.gradients(dys).items()}


def test_a_function_that_returns_its_value_and_its_gradients():
    total, both = float((X * W).sum()), {"x": W.tolist(), "w": X.tolist()}
    assert of_one(lambda x: ((x**2).sum(), 2 * x)) == (14, {"x": (2 * X).tolist()})
    for result in (lambda x, w: (w, x), lambda x, w: {"dx": w, "dw": x}):
        assert of_one(lambda x, w, result=result: ((x * w).sum(), result(x, w)), X, W) == (total, both)
    assert of_one(lambda x, w: ((x * w).sum(), w, x), X, W) == (total, both)
    assert of_one(lambda x, w: ((x * w).sum(), {"dx": w, "dw": x}, x), X, W) == (total, both)
    assert of_one(lambda x, w: ((x * w).sum(), {}, {"dx": w, "dw": x}), X, W) == (total, both)


def test_the_gradients_may_come_first():
    total, both = float((X * W).sum()), {"x": W.tolist(), "w": X.tolist()}
    assert of_one(lambda x, w: ({"dx": w, "dw": x}, (x * w).sum()), X, W) == (total, both)
    assert of_one(lambda x, w: ((w, x), (x * w).sum()), X, W) == (total, both)
    assert of_one(lambda x, w: ([w, x], (x * w).sum()), X, W) == (total, both)
    assert of_one(lambda x, w: ((w, x), (x * w).sum(), {"dx": w, "dw": x}), X, W) == (total, both)


def test_a_function_that_returns_its_output_and_a_backward():
    assert of_one(lambda x: (2 * x, lambda dy: 2 * dy), dys=(DY,)) == (4, {"x": (2 * DY).tolist()})


def test_a_function_that_returns_one_value_is_refused():
    for result in (X, (X,), None):
        with pytest.raises(TypeError, match="must return .loss, gradient. or .output, backward function., got"):
            of_one(lambda x, result=result: result)


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_signature_as_text():
    def function(a, b=1, *rest, c, **more):
        pass

    assert signature_text(function) == "function(a, *rest, c, **more)" and signature_text(3) == "int(...)"


def test_the_functions_to_write_for_a_pair():
    def f(x):
        pass

    def g(grad, x, cache, stride, pad=1):
        pass

    lines = str(pair_refusal(f, g, ["x"], "a reason")).splitlines()
    assert lines[0].startswith("g(grad, x, cache, stride) cannot be called: a reason. Write")
    assert lines[2:5] == ["    def forward(x):", "        y = f(x)",
                          "        return y, (x,)          # the last value is the cache"]  # fmt: skip
    assert lines[6:9] == ["    def backward(dy, cache):", "        x, = cache",
                          "        return g(dy, x, cache, stride=...)          # dx"]  # fmt: skip
    text = str(pair_refusal(f, lambda first, stride: None, ["x", "w"], "r"))
    assert "return y, (x, w) " in text and "(dy, stride=...)" in text and "# dx, dw" in text
    assert "(dy, x, w)  " in str(pair_refusal(f, 3, ["x", "w"], "r"))
    text = str(pair_refusal(f, lambda x, grad, gradients: None, ["x"], "r"))
    assert "(x, dy, gradients=...)" in text  # there is only one dy


def test_the_functions_to_write_do_not_call_themselves():
    class Layer:
        def forward(self, x):
            pass

        def backward(self, dy, stride):
            pass

    def forward(x):
        pass

    text = str(pair_refusal(Layer().forward, Layer().backward, ["x"], "r"))
    assert "y = layer.forward(x)" in text and "return layer.backward(dy, stride=...)" in text
    text = str(pair_refusal(forward, lambda dy, stride: None, ["x"], "r"))
    assert "def checked_forward(x):" in text and "y = forward(x)" in text and "(checked_forward, backward), x" in text


def test_the_functions_to_write_for_one_function():
    def f(x):
        pass

    text = str(value_and_gradient_refusal(f, ["x"], 3))
    assert "got int" in text and "        loss = f(x)\n        dx = ...\n        return loss, dx\n" in text
    assert "        dx, dw = ...\n        return loss, (dx, dw)\n" in str(value_and_gradient_refusal(f, ["x", "w"], 3))


def test_the_functions_to_write_for_an_object():
    class Layer:
        def forward(self, x):
            pass

        def backward(self, dy):
            pass

    layer = Layer()
    text = str(object_refusal(layer, layer.forward, layer.backward, ["x", "w"]))
    assert text.startswith("Layer.forward(x, w) returned None") and "layer.backward(dy)          # dx, dw" in text


def test_the_call_to_write_for_a_class():
    class Dense:
        def __init__(self, n_in, *rest, n_out, rate=1, **more):
            pass

        def forward(self, x, mask):
            pass

    class Plain:
        pass

    assert str(class_refusal(Dense, (X,))).endswith("check_gradients(Dense(n_in=..., n_out=...), x)")
    assert str(class_refusal(Dense, (X, X))).endswith("n_out=...), x, mask)")
    assert str(class_refusal(Plain, (X, X))).endswith("check_gradients(Plain(), x, x)")
    Plain.__signature__ = 3  # inspect.signature raises an error
    assert str(class_refusal(Plain, (X,))).endswith("check_gradients(Plain(), x)")

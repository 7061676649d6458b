"""Test small parts of the gradient checker: the value of each is known without a gradient."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients
from nnscratch.gradcheck.adapters.base import is_transpose
from nnscratch.gradcheck.adapters.contexts import Context
from nnscratch.gradcheck.adapters.foreign import library_of, refuse_foreign
from nnscratch.gradcheck.adapters.matching import Match, match_keys
from nnscratch.gradcheck.adapters.names import argument_names
from nnscratch.gradcheck.adapters.output_attribute import output_name
from nnscratch.gradcheck.adapters.refusals import pair_refusal
from nnscratch.gradcheck.diagnosis.wrong_slopes import is_single_step
from nnscratch.gradcheck.diagnosis.wrong_sums import along_axis
from nnscratch.gradcheck.kink_units import Box
from nnscratch.gradcheck.learned_names import name_of
from nnscratch.gradcheck.places import holder_types
from nnscratch.gradcheck.snapshot import Snapshot
from nnscratch.gradcheck.substitution import cast_arrays
from nnscratch.gradcheck.tape.changes import change_path


def test_the_module_passes_settings_on():
    with pytest.raises(ValueError, match="mode must be one of"):
        nn.gradcheck(nn.Tanh(), np.ones(2), mode="quick")


def test_an_array_of_another_library_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxlib", ModuleType("jaxlib"))
    array = type("Array", (), {"__module__": "jaxlib.core", "shape": (2,), "dtype": "float32"})()
    with pytest.raises(TypeError, match="x is an array of JAX"):
        refuse_foreign({"x": array})
    with pytest.raises(TypeError, match="x is an array of JAX"):
        check_gradients((lambda x: (x, x), lambda dy, cache: dy), array)
    assert library_of(type("Size", (), {"__module__": "torch", "shape": (2,)})()) is None


def test_a_transpose_is_known_by_its_memory():
    a = np.ones((2, 3))
    assert is_transpose(a, a.T) and not is_transpose(a, a) and not is_transpose(a, a.T.copy())


def test_a_context_without_a_number_has_one_input():
    assert Context().needs_input_grad == (True,)


def test_arguments_without_a_name_have_the_name_of_the_star():
    assert argument_names(lambda x, *rest: x, 3) == ["x", "rest[0]", "rest[1]"]


def test_gradients_in_a_dictionary_are_used_by_their_keys():
    w, b = np.ones((2, 3)), np.ones(3)
    used = match_keys({"dW": w, "db": b, "loss": 0.0}, [("params", {"W": w, "b": b})], Match())
    assert used == {"dW", "db"}


def test_the_only_new_attribute_is_the_output():
    old = np.ones(2)
    layer = SimpleNamespace(x=old, squashed=np.zeros(2))
    assert output_name(layer, {"x": old}) == "squashed"
    layer.other = np.zeros(2)
    assert output_name(layer, {"x": old}) is None


def test_the_refusal_of_a_pair_passes_the_cache():
    def forward(x): ...

    def backward(dout, cache, stride): ...

    assert "backward(dy, cache, stride=...)" in str(pair_refusal(forward, backward, ["x"], "stride is not known"))


def test_a_change_along_one_axis():
    assert along_axis(np.arange(3), 1, 3, 3).shape == (1, 3, 1)


def test_an_operation_with_one_active_operand_and_a_number_is_a_single_step():
    x = np.ones(3)
    assert is_single_step(SimpleNamespace(active=[True, False], operands=[x, 2.0]))
    assert not is_single_step(SimpleNamespace(active=[True, False], operands=[x, x]))
    assert not is_single_step(SimpleNamespace(active=[True, True], operands=[x, 2.0]))


def test_the_nearest_point_of_a_box():
    # (1, b) minimises (0.9 b - 1)^2 + (0.4 b + 0.5)^2, so b = 0.7 / 0.97
    theta = Box(np.array([[1, 0.9], [0, 0.4]])).nearest(np.array([2, -0.5]))
    np.testing.assert_allclose(theta, [1, 0.7 / 0.97], atol=1e-6)


def test_the_name_of_an_array_in_a_tensor_is_the_name_of_the_tensor():
    assert name_of((("root", 0), ("attribute", "W"), ("attribute", "data"))) == "W"
    assert name_of((("root", 0), ("attribute", "data"))) == "data"


def test_the_holders_of_an_array_are_all_objects_on_the_way():
    class Layer:
        w = np.ones(2)

    class Network:
        layer = Layer()

    steps = (("item", 0), ("attribute", "layer"), ("attribute", "w"))
    assert holder_types([Network()], steps) == [Network, Layer]


def test_only_narrower_arrays_are_cast():
    layer = SimpleNamespace(w=np.ones(2), b=np.ones(2, np.float32))
    w, b = layer.w, layer.b
    assert set(cast_arrays(Snapshot(layer), np.float64)) == {id(b)}
    assert layer.w is w and layer.b.dtype == np.float64


def test_a_change_of_a_result_moves_it_from_its_value():
    node = SimpleNamespace(result=3.0, compute=lambda *operands: sum(operands))
    assert change_path(-1, lambda moved: 2 * moved)(node, [2.0, 2.0]) == 3 + 2 * (4 - 3)


def test_the_parts_of_a_report_that_people_see():
    report = check_gradients(nn.Linear(3, 2, rng=0), np.ones((1, 3)))
    report.notes.append("a < b")
    assert "<li>a &lt; b</li>" in report._repr_html_()
    maps = [axes for axes in report.plot().axes if axes.get_title().startswith("error")]
    assert [len(axes.get_yticks()) > 0 for axes in maps] == [len(e.shape) > 1 and e.shape[0] > 1 for e in report]
    (axes,) = report["bias"].animate().figure(0).axes
    assert axes.get_xlim() == (-0.7, 1.7)
    report["bias"].error = float("nan")
    assert np.isnan(report.max_error)

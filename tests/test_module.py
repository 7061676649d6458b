"""Parameter, Module and Sequential: names, stacks, state and errors."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.modes import eval_mode

F32 = np.float32


def small_network(rng=0):
    return nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Tanh(), nn.Dropout(0.5, rng=rng), nn.Linear(4, 2, rng=rng))


class Doubled(nn.Module):
    """y = 2 W x: a module that contains another module and has its own parameter."""

    def __init__(self):
        self.inner = nn.Linear(3, 3, rng=0)
        self.scale = nn.Parameter(np.array([2.0], dtype=F32))

    def forward(self, x):
        y = self.inner(x)
        self.save_for_backward(y)
        return self.scale.data * y

    def backward(self, dy):
        (y,) = self.saved()
        self.scale.grad += (dy * y).sum()
        return self.inner.backward(dy * self.scale.data)


# --- Parameter -------------------------------------------------------------------------------------------------------


def test_a_parameter_has_a_gradient_of_its_own_shape_and_dtype_that_starts_at_zero():
    parameter = nn.Parameter(np.ones((2, 3), dtype=F32))
    assert parameter.grad.shape == parameter.shape == (2, 3)
    assert parameter.grad.dtype == parameter.dtype == F32
    assert parameter.size == 6 and parameter.device == "cpu"
    assert not parameter.grad.any()
    assert repr(parameter) == "Parameter((2, 3), float32, cpu)"


def test_a_product_is_written_after_zero_grad_and_added_afterwards():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 3))
    parameter = nn.Parameter(np.zeros((3, 3)))
    parameter.add_product(a, b)
    np.testing.assert_allclose(parameter.grad, a @ b)
    parameter.add_product(b, a)
    np.testing.assert_allclose(parameter.grad, a @ b + b @ a)
    parameter.zero_grad()
    parameter.add_product(b, b)
    np.testing.assert_allclose(parameter.grad, b @ b)


def test_after_zero_grad_the_gradient_reads_zero_and_sums_from_zero():
    parameter = nn.Parameter(np.zeros(3))
    parameter.grad += 5
    parameter.zero_grad()
    np.testing.assert_array_equal(parameter.grad, [0, 0, 0])
    parameter.zero_grad()
    parameter.grad += 1
    np.testing.assert_array_equal(parameter.grad, [1, 1, 1])
    parameter.zero_grad()
    parameter.grad = np.full(3, 7.0)
    np.testing.assert_array_equal(parameter.grad, [7, 7, 7])


def test_a_parameter_keeps_the_array_it_is_given_so_that_both_see_an_update():
    data = np.zeros((2, 3))
    assert nn.Parameter(data).data is data


def test_a_parameter_made_of_a_transposed_array_can_be_updated():
    parameter = nn.Parameter(np.zeros((3, 2)).T)
    parameter.grad[...] = 1
    for optimizer in (nn.optim.SGD([parameter], lr=1.0, momentum=0.9), nn.optim.Adam([parameter], lr=1.0)):
        before = parameter.data.copy()
        optimizer.step()
        np.testing.assert_allclose(parameter.data, before - 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.ones(3, dtype=int), "Parameter needs floats, got an array of int64"),
        (np.ones(3, dtype=complex), "Parameter needs floats, got an array of complex128"),
        ([1.0, 2.0], r"expected a NumPy or CuPy array, got list; use numpy.asarray\(x\)"),
        (1.0, "expected a NumPy or CuPy array, got float"),
    ],
)
def test_a_parameter_is_made_of_an_array_of_floats(data, message):
    with pytest.raises(TypeError, match=message):
        nn.Parameter(data)


# --- what is inside --------------------------------------------------------------------------------------------------


def test_parameters_and_modules_set_as_attributes_are_found_under_dotted_names():
    outer = nn.Sequential(Doubled(), nn.Linear(3, 2, bias=False))
    names = ["0.scale", "0.inner.weight", "0.inner.bias", "1.weight"]
    assert [name for name, _ in outer.named_parameters()] == names
    assert [id(p) for p in outer.parameters()] == [id(p) for _, p in outer.named_parameters()]
    assert [name for name, _ in outer.named_modules()] == ["", "0", "0.inner", "1"]
    assert [name for name, _ in outer.named_children()] == ["0", "1"]


def test_a_module_or_weight_used_twice_is_listed_once_and_saved_under_both_names():
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, nn.Tanh(), shared)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert list(model.modules()).count(shared) == 1
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_repr_shows_the_tree_with_shapes_and_parameter_counts():
    assert repr(nn.Sequential(nn.Linear(3, 2, bias=False), nn.Dropout(0.25))) == (
        "Sequential()  # 6 parameters\n"
        "  (0) Linear(in_features=3, out_features=2, bias=False)  # 6 parameters\n"
        "    weight: (2, 3)\n"
        "  (1) Dropout(p=0.25)"
    )
    assert "# 1,001,000 parameters" in repr(nn.Linear(1000, 1000))


def test_train_and_eval_reach_every_module_and_return_the_module():
    model = nn.Sequential(Doubled(), nn.Dropout(0.5))
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    assert model.train() is model
    assert all(m.training for m in model.modules())


def test_evaluating_gives_every_module_its_own_mode_back_even_after_an_error():
    model = small_network()
    model[2].eval()
    with pytest.raises(ZeroDivisionError), eval_mode(model):
        assert not any(m.training for m in model.modules())
        raise ZeroDivisionError
    assert [m.training for m in model.layers] == [True, True, False, True]


def test_to_converts_weights_and_gradients_in_place():
    model = small_network()
    weight = model[0].weight
    weight.grad[...] = 3
    assert model.to(dtype=np.float64) is model
    assert model[0].weight is weight
    assert weight.data.dtype == weight.grad.dtype == np.float64
    np.testing.assert_array_equal(weight.grad, np.full((4, 3), 3.0))
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}


def test_to_refuses_what_is_no_float_type_and_what_is_no_device_and_changes_nothing():
    model = small_network()
    with pytest.raises(TypeError, match="dtype must be float16, float32 or float64, got int32"):
        model.to(dtype=np.int32)
    with pytest.raises(ValueError, match='device must be "cpu", "cuda" or "cuda:N", got \'tpu\''):
        model.to("tpu")
    with pytest.raises(TypeError, match=r"device must be a string, such as \"cpu\", got <class 'numpy.float64'>"):
        model.to(np.float64)  # PyTorch accepts a dtype here
    assert all(p.dtype == F32 and p.device == "cpu" for p in model.parameters())


# --- forward and backward --------------------------------------------------------------------------------------------


def test_sequential_is_its_modules_one_after_the_other_and_back():
    model, x = small_network().eval(), np.ones((5, 3), F32)
    first, tanh, dropout, last = model.layers
    np.testing.assert_array_equal(model(x), last(dropout(tanh(first(x)))))
    model.train()
    dy = model(x)
    chained = small_network()
    chained(x)
    expected = dy
    for layer in reversed(chained.layers):
        expected = layer.backward(expected)
    np.testing.assert_array_equal(model.backward(dy), expected)
    assert len(model) == 4 and model[-1] is last


def test_an_empty_sequential_passes_everything_through():
    x = np.ones(3)
    assert nn.Sequential()(x) is x and nn.Sequential().backward(x) is x


def test_a_module_of_ones_own_needs_no_call_of_init_and_has_the_right_gradient():
    model, x = Doubled().to(dtype=np.float64), np.random.default_rng(0).normal(size=(4, 3))
    y = model(x)
    np.testing.assert_allclose(y, 2 * (x @ model.inner.weight.data.T + model.inner.bias.data))
    dx = model.backward(np.ones_like(y))
    np.testing.assert_allclose(dx, np.ones_like(y) @ (2 * model.inner.weight.data))
    assert model.scale.grad[0] == pytest.approx(y.sum() / 2)


def test_a_subclass_without_forward_or_backward_is_told_to_write_it():
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match="Empty has no forward method: write one, and backward under it"):
        Empty()(np.ones(1))
    with pytest.raises(TypeError, match="Empty has no backward method: write it under forward"):
        Empty().backward(np.ones(1))


def test_sequential_takes_modules_only():
    with pytest.raises(TypeError, match="Sequential takes modules, but argument 1 is a function"):
        nn.Sequential(nn.Tanh(), small_network)
    with pytest.raises(TypeError, match="argument 0 is a type"):
        nn.Sequential(nn.Tanh)


def test_ten_thousand_forwards_without_a_backward_bring_a_warning():
    layer, x = nn.Tanh(), np.ones(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(9_999):
            layer(x)
    with pytest.warns(ResourceWarning, match=r"Tanh: 10000 forward calls .* no backward.*eval\(\).*zero_grad\(\)"):
        layer(x)


# --- state dict ------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 999), dtype=st.sampled_from([np.float32, np.float64]))
def test_a_state_dict_loaded_into_another_model_makes_it_the_same(seed, dtype):
    one, other = (nn.models.LanguageModel(7, 3, 4, 2, rng=r).to(dtype=dtype) for r in (seed, seed + 1))
    other.load_state_dict(one.state_dict())
    tokens = np.random.default_rng(seed).integers(0, 7, (2, 3))
    np.testing.assert_array_equal(one(tokens)[0], other(tokens)[0])
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert p.data is not q.data


def test_loading_writes_into_the_arrays_that_are_there_and_keeps_their_dtype():
    model = small_network()
    arrays = {name: array for name, array in model.state_dict().items()}
    model.load_state_dict({name: array.astype(np.float64) + 1 for name, array in arrays.items()})
    for name, array in model.state_dict().items():
        assert array is arrays[name] and array.dtype == F32


def good_state():
    return {name: array.copy() for name, array in small_network(rng=5).state_dict().items()}


def without_a_name():
    state = good_state()
    del state["3.bias"]
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without_a_name(), r"state does not fit Sequential: missing \['3.bias'\], unknown nothing"),
        ({**good_state(), "9.weight": np.ones(1)}, r"missing nothing, unknown \['9.weight'\]"),
        ({**good_state(), "3.bias": np.ones(3)}, r"3.bias: expected shape \(2,\), got \(3,\)"),
        ({**good_state(), "3.weight": np.ones((4, 2))}, r"3.weight: expected shape \(2, 4\), got \(4, 2\)"),
        ({**good_state(), "3.bias": np.array([1, np.nan])}, r"3.bias holds values that are not finite"),
        ({**good_state(), "3.bias": np.array([1, np.inf])}, r"3.bias holds values that are not finite"),
    ],
)
def test_one_bad_entry_in_a_state_leaves_every_weight_as_it_was(state, message):
    model = small_network()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_with_strict_false_missing_and_unknown_names_are_passed_over():
    model = small_network()
    before = model[3].bias.data.copy()
    model.load_state_dict({**without_a_name(), "9.weight": np.ones(1)}, strict=False)
    np.testing.assert_array_equal(model[0].weight.data, good_state()["0.weight"])
    np.testing.assert_array_equal(model[3].bias.data, before)
    with pytest.raises(ValueError, match="expected shape"):
        model.load_state_dict({"3.bias": np.ones(3)}, strict=False)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.full((2, 3), 1e300), ValueError, "not finite .* in float32"),
        (np.ones((2, 3), dtype=complex), TypeError, "expected float32, got complex128"),
        ([[1.0] * 3] * 2, TypeError, "weight: expected a NumPy or CuPy array, got list"),
    ],
)
def test_a_state_of_unfit_values_is_refused_whole(value, error, message):
    layer = nn.Linear(3, 2, rng=0)
    before = layer.weight.data.copy(), layer.bias.data.copy()
    with pytest.raises(error, match=message):
        layer.load_state_dict({"weight": value, "bias": np.zeros(2)})
    np.testing.assert_array_equal(layer.weight.data, before[0])
    np.testing.assert_array_equal(layer.bias.data, before[1])


def test_two_values_for_one_tied_weight_are_refused():
    model = nn.models.LanguageModel(5, 4, 4, tie_weights=True, rng=0)
    state = {name: a.copy() for name, a in model.state_dict().items()}
    state["linear.weight"] += 1
    with pytest.raises(ValueError, match="embedding.weight and linear.weight are one tied weight"):
        model.load_state_dict(state)


@pytest.mark.parametrize("use", [
    lambda p, x: p * x, lambda p, x: 2.0 * p, lambda p, x: x * p, lambda p, x: x @ p, lambda p, x: p @ x,
    lambda p, x: p[0], lambda p, x: -p, lambda p, x: x - p, lambda p, x: np.exp(p), lambda p, x: np.dot(x, p),
    lambda p, x: np.einsum("ij,jk->ik", x, p), lambda p, x: np.sum(p),
])  # fmt: skip
def test_who_forgets_data_is_told_so(use):
    with pytest.raises(TypeError, match=r"use parameter.data for its values|__array_ufunc__=None"):
        use(nn.Parameter(np.ones((3, 3))), np.ones((3, 3)))


class InAList(nn.Module):
    def __init__(self, held):
        self.head, self.blocks = nn.Linear(3, 2), held


@pytest.mark.parametrize("held", [[nn.Linear(3, 3)], (nn.Linear(3, 3),), {"a": nn.Tanh()}, [nn.Parameter(np.ones(1))]])
def test_layers_in_a_list_only_are_refused_not_left_untrained(held):
    model = nn.Sequential(InAList(held))
    for use in (nn.Module.parameters, nn.Module.state_dict, nn.Module.zero_grad):
        with pytest.raises(
            TypeError,
            match=r"InAList.blocks is a (list|tuple|dict), and its layers or parameters would be neither trained",
        ):
            use(model)


def test_a_list_of_layers_that_are_attributes_too_is_accepted():
    model = InAList([])
    model.blocks = [model.head]
    assert [name for name, _ in model.named_parameters()] == ["head.weight", "head.bias"]


def test_a_list_whose_name_begins_with_an_underscore_is_let_be():
    model = InAList([])
    model._teacher = [nn.Linear(3, 3)]
    assert len(model.parameters()) == 2


def test_backward_given_the_loss_says_what_it_takes():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    loss = nn.MSELoss()(model(np.ones((4, 3), dtype=np.float32)), np.ones((4, 2), dtype=np.float32))
    message = r"Tanh.backward: dy must be an array, .* use the result of criterion.backward\(\)"
    with pytest.raises(TypeError, match=message):
        model.backward(loss)


@pytest.mark.parametrize("dtype", [np.float64, np.dtype(np.float64), "float64"])
def test_a_dtype_in_any_form_converts_the_parameters(dtype):
    layer = nn.Linear(2, 3).to(dtype=dtype)
    assert layer.weight.dtype == layer.weight.grad.dtype == np.float64

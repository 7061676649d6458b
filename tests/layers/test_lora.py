"""LoRA: a low-rank update of a frozen Linear layer; merging, saving and loading it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn

RNG = np.random.default_rng(0)


def trained(seed=0, rank=2, **settings):
    """Return a LoRA layer in float64 whose update is not zero."""
    layer = nn.LoRA(nn.Linear(6, 4, rng=seed), rank, rng=seed, **settings).to(dtype=np.float64)
    layer.lora_B.data[...] = np.random.default_rng(seed).normal(size=(4, rank))
    return layer


def language_model(seed=0):
    return nn.models.TransformerLM(7, 8, 2, 2, 8, rng=seed)


def adapted(model, rank=2):
    for block in model.blocks.layers:
        block.linear1, block.linear2 = nn.LoRA(block.linear1, rank, rng=1), nn.LoRA(block.linear2, rank, rng=2)
    return model


def loras(model):
    return [module for module in model.modules() if isinstance(module, nn.LoRA)]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5), st.data())
def test_it_is_a_linear_layer_with_the_weight_w_plus_s_b_a(D, H, rows, data):
    rank, alpha = data.draw(st.integers(1, min(D, H))), data.draw(st.floats(-3, 3))
    layer = nn.LoRA(nn.Linear(D, H, rng=0), rank, alpha, rng=1).to(dtype=np.float64)
    layer.lora_B.data[...] = RNG.normal(size=(H, rank))
    W = layer.base.weight.data + alpha / rank * layer.lora_B.data @ layer.lora_A.data
    x = RNG.normal(size=(rows, D))
    np.testing.assert_allclose(layer(x), x @ W.T + layer.base.bias.data, rtol=1e-10, atol=1e-12)
    dx = layer.backward(np.ones((rows, H)))
    np.testing.assert_allclose(dx, np.ones((rows, H)) @ W, rtol=1e-10, atol=1e-12)


def test_at_the_start_nothing_changes_and_b_learns_first():
    linear = nn.Linear(6, 4, rng=0)
    layer, x = nn.LoRA(linear, 2, rng=1), RNG.normal(size=(3, 6)).astype(np.float32)
    y = layer(x)
    np.testing.assert_array_equal(y, nn.Linear(6, 4, rng=0)(x))
    layer.backward(np.ones_like(y))
    assert layer.lora_B.grad.any() and not layer.lora_A.grad.any()
    assert not linear.weight.grad.any() and not linear.bias.grad.any()
    assert layer.base is linear and not linear.weight.requires_grad


def test_the_default_alpha_multiplies_by_one():
    assert nn.LoRA(nn.Linear(6, 4), 3).scale == 1 and nn.LoRA(nn.Linear(6, 4), 4, alpha=8).scale == 2


def test_it_takes_the_dtype_of_the_layer():
    layer = nn.LoRA(nn.Linear(6, 4).to(dtype=np.float64), 2)
    assert {p.dtype for p in layer.parameters()} == {np.dtype("float64")}


def test_without_the_gradient_of_the_input():
    layer, x = trained(), RNG.normal(size=(3, 6))
    layer.backward(layer(x))
    expected = [p.grad.copy() for p in layer.parameters()]
    layer.zero_grad()
    y = layer(x)
    with nn.modes.without_input_grad(layer):
        assert layer.backward(y) is None
    for p, g in zip(layer.parameters(), expected, strict=True):
        np.testing.assert_array_equal(p.grad, g)
    assert not layer.__dict__["_stack"] and not layer.base.__dict__["_stack"]


def test_merged_it_gives_the_same_output_and_unmerged_the_old_weight():
    layer, x = trained(), RNG.normal(size=(3, 6))
    y, W = layer.eval()(x), layer.base.weight.data.copy()
    linear = layer.merge()
    assert linear is layer.base and layer.merged
    np.testing.assert_allclose(layer(x), y, rtol=1e-12)
    np.testing.assert_allclose(linear(x), y, rtol=1e-12)
    layer.unmerge()
    np.testing.assert_allclose(layer.base.weight.data, W, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer(x), y, rtol=1e-12)


def test_a_merged_layer_is_neither_trained_nor_saved_nor_merged_again(tmp_path):
    layer, x = trained(), RNG.normal(size=(3, 6))
    with pytest.raises(RuntimeError, match="not merged"):
        layer.unmerge()
    layer.merge()
    y = layer(x)
    with pytest.raises(RuntimeError, match=r"call unmerge\(\) before you train it"):
        layer.backward(y)
    with pytest.raises(RuntimeError, match="merged already"):
        layer.merge()
    with pytest.raises(ValueError, match=r"a merged LoRA cannot be saved: call unmerge\(\)"):
        nn.save(layer, tmp_path / "lora.safetensors")
    assert "merged" not in repr(layer)


def test_a_model_with_lora_layers_is_saved_and_loaded(tmp_path):
    model = nn.Sequential(nn.Tanh(), trained(3, alpha=5))
    nn.save(model, tmp_path / "model.safetensors")
    again, x = nn.load(tmp_path / "model.safetensors"), RNG.normal(size=(3, 6))
    np.testing.assert_array_equal(again(x), model(x))
    assert not again[1].base.weight.requires_grad and again[1].alpha == 5


def test_the_small_matrices_alone_turn_the_trained_model_into_the_adapted_one(tmp_path):
    model, tokens = adapted(language_model()), RNG.integers(0, 7, (4, 8))
    model.requires_grad_(False)
    for lora in loras(model):
        lora.lora_A.requires_grad = lora.lora_B.requires_grad = True
    optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(4):
        model.zero_grad()
        model.loss_and_backward(tokens, tokens)
        optimizer.step()
    nn.save_lora(model, tmp_path / "lora.safetensors")
    fresh = language_model()
    before, _ = fresh.eval()(tokens)
    assert nn.load_lora(tmp_path / "lora.safetensors", fresh) is fresh
    after, _ = fresh.eval()(tokens)
    np.testing.assert_array_equal(after, model.eval()(tokens)[0])
    assert np.abs(after - before).max() > 0.1
    again = nn.load_lora(tmp_path / "lora.safetensors", fresh)  # its layers are LoRA layers now
    np.testing.assert_array_equal(again(tokens)[0], after)
    assert len(loras(again)) == 4
    double = nn.load_lora(tmp_path / "lora.safetensors", language_model().to(dtype=np.float64))
    np.testing.assert_allclose(double.eval()(tokens)[0], after, atol=1e-5)


def test_the_file_holds_the_small_matrices_only(tmp_path):
    model = adapted(language_model(), rank=1)
    nn.save_lora(model, tmp_path / "lora.safetensors")
    arrays, header = nn.serialization.read_arrays(tmp_path / "lora.safetensors")
    assert sum(a.size for a in arrays.values()) == sum(
        p.size for lora in loras(model) for p in (lora.lora_A, lora.lora_B)
    )
    assert header["lora"]["blocks.0.linear1"] == {"rank": 1, "alpha": 1.0}


def test_what_cannot_be_saved_or_loaded_says_why_and_changes_nothing(tmp_path):
    model, path = language_model(), tmp_path / "lora.safetensors"
    with pytest.raises(ValueError, match="TransformerLM has no LoRA layer"):
        nn.save_lora(model, path)
    with pytest.raises(TypeError, match="model must be a Module, got dict"):
        nn.save_lora({}, path)
    nn.save(model, path)
    with pytest.raises(ValueError, match="was not written by nn.save_lora"):
        nn.load_lora(path, model)
    nn.save_lora(adapted(language_model()), path)
    with pytest.raises(
        ValueError, match="adapts the Linear layer 'blocks.0.linear1', but MLP has no such module there"
    ):
        nn.load_lora(path, nn.models.MLP([2, 3]))
    other = nn.models.TransformerLM(7, 12, 2, 2, 8, rng=0)
    with pytest.raises(ValueError, match=r"blocks.0.linear1: lora_A: expected shape \(2, 12\), got \(2, 8\)"):
        nn.load_lora(path, other)
    one_block = nn.models.TransformerLM(7, 8, 2, 1, 8, rng=0)
    with pytest.raises(ValueError, match="blocks.1.linear1"):
        nn.load_lora(path, one_block)
    assert not loras(other) and not loras(one_block) and all(p.requires_grad for p in one_block.parameters())
    merged = adapted(language_model())
    merged.blocks[0].linear1.merge()
    with pytest.raises(ValueError, match="has a merged LoRA there"):
        nn.load_lora(path, merged)


@pytest.mark.parametrize(
    ("layer", "rank", "alpha", "error", "says"),
    [
        (nn.Tanh(), 2, None, TypeError, "LoRA: layer must be an instance of Linear, got Tanh"),
        (nn.Linear(6, 4), 0, None, ValueError, "rank must be an integer of 1 or more, got 0"),
        (
            nn.Linear(6, 4),
            5,
            None,
            ValueError,
            r"rank must be at most 4, the smaller side of the weight \(4, 6\), got 5",
        ),
        (nn.Linear(6, 4), 2, np.nan, ValueError, "alpha must be a finite number, got nan"),
    ],
)
def test_bad_arguments_are_refused_and_freeze_nothing(layer, rank, alpha, error, says):
    with pytest.raises(error, match=says):
        nn.LoRA(layer, rank, alpha)
    assert all(p.requires_grad for p in layer.parameters())


def test_a_model_whose_head_is_adapted_trains_with_separate_calls_only():
    model, tokens = nn.models.LanguageModel(7, 4, 4, rng=0), RNG.integers(0, 7, (2, 5))
    model.linear = nn.LoRA(model.linear, 2)
    with pytest.raises(TypeError, match="loss_and_backward needs a Linear layer as the last layer, got LoRA"):
        model.loss_and_backward(tokens, tokens)


def test_the_summary_counts_the_two_small_products():
    plain = nn.summary(nn.Sequential(nn.Linear(6, 4)), np.zeros((5, 6), np.float32)).flops
    assert nn.summary(
        nn.Sequential(nn.LoRA(nn.Linear(6, 4), 2)), np.zeros((5, 6), np.float32)
    ).flops == plain + 2 * 5 * 2 * (6 + 4)

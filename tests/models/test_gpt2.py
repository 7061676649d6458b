"""GPT-2's folders: what is written is read again, and a folder that is damaged or unsupported is refused."""

import json
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import nnscratch as nn
from nnscratch.models.gpt2 import is_gpt2

TOKENS = np.array([[1, 2, 3, 0], [4, 4, 1, 2]])


def make(**more):
    settings = {"dropout": 0.1, "hidden_dropout": 0.0, "tie_weights": True, "dim_feedforward": 5} | more
    model = nn.models.TransformerLM(7, 6, 2, 2, 4, layer_norm_eps=1e-3, rng=0, **settings)
    rng = np.random.default_rng(1)
    for p in model.parameters():
        p.data[...] += 0.1 * rng.normal(size=p.shape)
    return model


@pytest.fixture
def folder(tmp_path):
    nn.save_gpt2(make(), tmp_path / "gpt2")
    return tmp_path / "gpt2"


def change_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value != "absent"}))


def change_weights(folder, change):
    """Replace the file by one with the tensors that `change` makes of the old ones."""
    path = folder / "model.safetensors"
    arrays = {name: np.ascontiguousarray(array) for name, array in change(load_file(path)).items()}
    save_file(arrays, path, metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tie", [False, True])
def test_what_is_written_is_read_again(tmp_path, dtype, tie):
    model = make(tie_weights=tie, attention_dropout=0.2, embedding_dropout=0.3).to(dtype=dtype)
    nn.save_gpt2(model, tmp_path / "new" / "folder")
    same = nn.load_gpt2(tmp_path / "new" / "folder")
    assert is_gpt2(tmp_path / "new" / "folder") and not is_gpt2(tmp_path)
    assert same.config() == model.config()
    assert (same.linear.weight is same.embedding.weight) == tie
    for p, q in zip(model.parameters(), same.parameters(), strict=True):
        assert p.dtype == q.dtype
        np.testing.assert_array_equal(p.data, q.data)
    np.testing.assert_array_equal(same.eval()(TOKENS)[0], model.eval()(TOKENS)[0])


def test_a_model_that_was_read_trains_writes_and_survives_nn_save(folder, tmp_path):
    model = nn.load_gpt2(folder)
    optimizer = nn.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        model.zero_grad()
        losses.append(model.loss_and_backward(TOKENS[:, :-1], TOKENS[:, 1:])[0])
        optimizer.step()
    assert losses[-1] < losses[0]
    nn.save(model, tmp_path / "model.safetensors")
    same = nn.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(same.eval()(TOKENS)[0], model.eval()(TOKENS)[0])


def test_names_without_the_prefix_and_the_masks_of_old_files_are_read(folder):
    expected = nn.load_gpt2(folder).eval()(TOKENS)[0]
    mask = np.tril(np.ones((1, 1, 4, 4), dtype=np.float32))
    change_weights(folder, lambda arrays: {name.removeprefix("transformer."): a for name, a in arrays.items()})
    np.testing.assert_array_equal(nn.load_gpt2(folder).eval()(TOKENS)[0], expected)
    change_weights(folder, lambda arrays: arrays | {"h.0.attn.bias": mask, "h.1.attn.masked_bias": mask[0, 0, 0, :1]})
    np.testing.assert_array_equal(nn.load_gpt2(folder).eval()(TOKENS)[0], expected)


def test_a_head_that_is_the_embedding_may_be_in_the_file_and_another_is_refused(folder):
    change_weights(folder, lambda arrays: arrays | {"lm_head.weight": arrays["transformer.wte.weight"]})
    assert nn.load_gpt2(folder).config() == make().config()
    change_weights(folder, lambda arrays: arrays | {"lm_head.weight": arrays["lm_head.weight"] + 1})
    with pytest.raises(ValueError, match="ties lm_head.weight to wte.weight, but their values differ"):
        nn.load_gpt2(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "llama", "model_type must be 'gpt2', got 'llama'"),
        ("scale_attn_weights", False, "scale_attn_weights must be True, got False"),
        ("scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx must be False, got True"),
        ("add_cross_attention", True, "add_cross_attention must be False, got True"),
        ("quantization_config", {"bits": 4}, "quantization_config must be None, got {'bits': 4}"),
        ("pruned_heads", {"0": [1]}, "pruned_heads must be {}, got"),
        ("activation_function", "silu", "activation_function must be one of 'gelu_new', .*, got 'silu'"),
        ("activation_function", None, "activation_function must be one of 'gelu_new', .*, got None"),
        ("n_embd", "absent", "does not hold n_embd"),
        ("n_embd", 6.0, "n_embd must be an integer of 1 or more, got 6.0"),
        ("n_layer", -1, "n_layer must be an integer of 1 or more, got -1"),
        ("n_inner", "5", "n_inner must be an integer of 1 or more, got '5'"),
        ("n_head", 4, "n_head must divide n_embd, got 4 and 6"),
        ("n_positions", 1, "n_positions must be 2 or more, got 1"),
        ("layer_norm_epsilon", -1, "layer_norm_epsilon must be 0 or more, got -1"),
        ("attn_pdrop", 1.5, r"attn_pdrop must be a probability in \[0, 1\), got 1.5"),
        ("tie_word_embeddings", 1, "tie_word_embeddings must be true or false, got 1"),
        ("tie_word_embeddings", False, "does not hold lm_head.weight, which is part of the model"),
        ("n_layer", 1, "holds transformer.h.1.*, which is not part of the model that config.json describes"),
        ("n_layer", 3, "does not hold transformer.h.2.attn.c_attn.bias, which is part of the model"),
        ("n_layer", 10**9, "has n_layer 1000000000, but the file has fewer tensors"),
        ("n_inner", None, r"c_fc.weight has the shape \(6, 5\), but config.json requires \(6, 24\)"),
        ("vocab_size", 10**9, r"wte.weight has the shape \(7, 6\), but config.json requires \(1000000000, 6\)"),
        ("n_positions", 10**9, r"wpe.weight has the shape \(4, 6\), but config.json requires \(1000000000, 6\)"),
    ],
)
def test_a_config_that_is_not_supported_or_does_not_fit_is_refused_before_the_model_is_built(
    folder, key, value, message
):
    change_config(folder, **{key: value})
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        nn.load_gpt2(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # bytes


def test_a_damaged_or_missing_file_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        nn.load_gpt2(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no config.json"):
        nn.load_gpt2(tmp_path)
    config, weights = folder / "config.json", folder / "model.safetensors"
    whole = weights.read_bytes()
    for content in (whole[:-5], whole[:20], b"", b"\xff" * 100):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match="model.safetensors is not a complete safetensors file"):
            nn.load_gpt2(folder)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors"):
        nn.load_gpt2(folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ValueError, match="holds its weights in several files; write them into one"):
        nn.load_gpt2(folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ValueError, match="pytorch_model.bin, a pickle file: .*convert it once: .*save_pretrained"):
        nn.load_gpt2(folder)
    for content, message in [("{", "config.json is not a JSON file"), ("[]", "must hold a JSON object, got list")]:
        config.write_text(content)
        with pytest.raises(ValueError, match=message):
            nn.load_gpt2(folder)


def test_weights_that_are_not_finite_or_not_floats_are_refused(folder):
    name = "transformer.h.1.ln_2.bias"
    for bad, message in [
        (np.full(6, np.nan, dtype=np.float32), f"{name} holds values that are not finite"),
        (np.ones(6, dtype=np.int32), f"{name} has the dtype I32; convert the weights to float32"),
    ]:
        change_weights(folder, lambda arrays, bad=bad: arrays | {name: bad})
        with pytest.raises(ValueError, match=message):
            nn.load_gpt2(folder)


def test_only_a_transformer_of_gpt2s_form_is_written(tmp_path):
    for name, value in [("bias", False), ("norm_first", False), ("positions", "sinusoidal")]:
        with pytest.raises(ValueError, match=f"GPT-2 needs a model with {name}=.*, got {value!r}"):
            nn.save_gpt2(make(**{name: value}), tmp_path / "folder")
    with pytest.raises(TypeError, match="save_gpt2: model must be an instance of TransformerLM, got Linear"):
        nn.save_gpt2(nn.Linear(2, 3), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()

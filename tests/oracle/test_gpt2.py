"""GPT-2 against transformers: logits, loss and every gradient, and the files of both, for random configurations."""

import json
import logging
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.models.gpt2 import ACTIVATIONS, _expected

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)  # for models this small, a second thread only causes waiting


@st.composite
def configurations(draw):
    heads = draw(st.integers(1, 4))
    return {
        "vocab_size": draw(st.integers(2, 40)),
        "n_positions": draw(st.integers(2, 12)),
        "n_embd": heads * draw(st.integers(1, 5)),
        "n_head": heads,
        "n_layer": draw(st.integers(1, 3)),
        "n_inner": draw(st.none() | st.integers(1, 20)),
        "activation_function": draw(st.sampled_from(list(ACTIVATIONS))),
        "layer_norm_epsilon": draw(st.sampled_from([1e-5, 1e-6, 1e-3, 0.1])),
        "tie_word_embeddings": draw(st.booleans()),
        "initializer_range": draw(st.sampled_from([0.02, 0.5])),
        "reorder_and_upcast_attn": draw(st.booleans()),
    }


def theirs_of(configuration, dtype):
    """Return their model with random weights, biases and norms; no dropout, so that training is deterministic."""
    off = {"bos_token_id": None, "eos_token_id": None, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    config = transformers.GPT2Config(**configuration, **off, attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory


@settings(max_examples=30, deadline=None)
@given(configuration=configurations(), double=st.booleans(), prefix=st.booleans(), seed=st.integers(0, 99))
def test_logits_loss_and_every_gradient_are_those_of_transformers(configuration, double, prefix, seed, folders):
    torch.manual_seed(seed)
    rng, folder = np.random.default_rng(seed), folders.mktemp("gpt2")
    dtype, tolerance = (torch.float64, 1e-10) if double else (torch.float32, 1e-5)
    if double:
        configuration = configuration | {"reorder_and_upcast_attn": False}  # theirs fails in float64
    else:
        configuration = configuration | {"initializer_range": 0.02}  # larger weights would enlarge rounding errors
    theirs = theirs_of(configuration, dtype)
    tied = configuration["tie_word_embeddings"]
    (theirs if prefix or not tied else theirs.transformer).save_pretrained(folder)
    if not prefix and tied:  # the inner model's own config.json says that it has no head
        theirs.config.save_pretrained(folder)
    ours = nn.load_gpt2(folder)

    V, T = configuration["vocab_size"], configuration["n_positions"]
    tokens, targets = rng.integers(0, V, (2, 3, T))
    t_logits = theirs(torch.tensor(tokens)).logits
    t_loss = torch.nn.functional.cross_entropy(t_logits.reshape(-1, V), torch.tensor(targets).reshape(-1))
    t_loss.backward()
    criterion = nn.CrossEntropyLoss()
    logits, _ = ours(tokens)
    loss = criterion(logits, targets)
    ours.backward(criterion.backward())

    assert logits.dtype == (np.float64 if double else np.float32)
    close = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(logits, t_logits.detach(), **close)
    assert loss == pytest.approx(t_loss.item(), rel=tolerance)
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    wanted = dict(theirs.named_parameters())
    expected = _expected(ours.config(), "transformer.")
    assert expected.keys() == wanted.keys()
    for name, (own, _, transposed) in expected.items():
        gradient = wanted[name].grad.T if transposed else wanted[name].grad
        np.testing.assert_allclose(gradients[own], gradient, **close, err_msg=name)


@settings(max_examples=10, deadline=None)
@given(configuration=configurations(), seed=st.integers(0, 99))
def test_transformers_reads_our_folder_without_a_warning(configuration, seed, folders):
    there, here = folders.mktemp("theirs"), folders.mktemp("ours")
    torch.manual_seed(seed)
    theirs_of(configuration, torch.float32).save_pretrained(there)
    ours = nn.load_gpt2(there)
    nn.save_gpt2(ours, here)
    messages = []
    handler = logging.Handler()
    handler.emit = messages.append
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again, info = transformers.GPT2LMHeadModel.from_pretrained(here, output_loading_info=True)
    finally:
        logger.removeHandler(handler)
    assert [m.getMessage() for m in messages if m.levelno >= logging.WARNING] == []
    assert not any(info.values())
    tokens = np.random.default_rng(0).integers(0, ours.vocab_size, (2, ours.context))
    with torch.no_grad():
        expected = again.eval()(torch.tensor(tokens)).logits
    np.testing.assert_allclose(ours.eval()(tokens)[0], expected, atol=1e-5, rtol=1e-5)
    same = nn.load_gpt2(here)
    assert same.config() == ours.config()
    for p, q in zip(ours.parameters(), same.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_a_config_of_theirs_with_an_unsupported_switch_is_refused_by_name(tmp_path):
    sizes = {"vocab_size": 9, "n_positions": 4, "n_embd": 4, "n_head": 2, "n_layer": 1}
    for key, value in [
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("add_cross_attention", True),
        ("activation_function", "silu"),
    ]:
        theirs_of(sizes | {key: value}, torch.float32).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=f"{key} must be .*, got {value!r}"):
            nn.load_gpt2(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())[key] == value


def test_weights_of_16_bits_become_float32(tmp_path):
    sizes = {"vocab_size": 9, "n_positions": 4, "n_embd": 4, "n_head": 2, "n_layer": 1}
    theirs = theirs_of(sizes, torch.float16)
    theirs.save_pretrained(tmp_path)
    ours = nn.load_gpt2(tmp_path)
    assert {p.dtype for p in ours.parameters()} == {np.dtype("float32")}
    np.testing.assert_array_equal(ours.embedding.weight.data, theirs.transformer.wte.weight.detach().float())
    theirs.to(torch.bfloat16).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has the dtype BF16; convert the weights to float32"):
        nn.load_gpt2(tmp_path)

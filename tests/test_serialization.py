"""nn.save and nn.load: the whole model in one file, or a clear error."""

import errno
import json
import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import nnscratch as nn
from nnscratch import serialization


def language_model(dtype=np.float32, **settings):
    return nn.models.LanguageModel(7, 4, 4, 2, **settings, rng=0).to(dtype=dtype)


class MyOwn(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter(np.arange(3, dtype=np.float32))


def assert_same_weights(one, other):
    assert list(one.state_dict()) == list(other.state_dict())
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name])
        assert array.dtype == other.state_dict()[name].dtype


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("settings", [{}, {"dropout": 0.25}, {"tie_weights": True}])
def test_a_language_model_comes_back_as_it_was(path, dtype, settings):
    model = language_model(dtype, **settings)
    nn.save(model, path)
    loaded = nn.load(path)
    assert repr(loaded) == repr(model)
    assert_same_weights(loaded, model)
    tokens = np.array([[1, 2, 3]])
    np.testing.assert_array_equal(loaded.eval()(tokens)[0], model.eval()(tokens)[0])


def test_tied_weights_come_back_tied(path):
    nn.save(language_model(tie_weights=True), path)
    loaded = nn.load(path)
    assert loaded.embedding.weight is loaded.linear.weight


sizes, seeds = st.integers(1, 4), st.integers(0, 99)
layers = st.one_of(
    st.builds(nn.Linear, sizes, sizes, st.booleans(), rng=seeds),
    st.sampled_from([nn.Sigmoid, nn.Tanh, nn.ReLU, nn.Softmax]).map(lambda cls: cls()),
    st.builds(nn.Dropout, st.sampled_from([0.0, 0.3])),
    st.builds(nn.Embedding, sizes, sizes, rng=seeds),
    st.builds(nn.LSTMCell, sizes, sizes, rng=seeds),
    st.builds(nn.LSTM, sizes, sizes, sizes, st.sampled_from([0.0, 0.3]), rng=seeds),
)


def in_sequence(modules):
    return st.lists(modules, max_size=3).map(lambda found: nn.Sequential(*found))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(in_sequence(layers | in_sequence(layers | in_sequence(layers))))
def test_any_tree_of_the_packages_layers_comes_back_as_it_was(path, model):
    nn.save(model, path)
    loaded = nn.load(path)
    assert repr(loaded) == repr(model)
    assert_same_weights(loaded, model)


def test_what_is_loaded_can_be_trained_on(path):
    nn.save(nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh()), path)
    model = nn.load(path)
    before = model[0].weight.data.copy()
    y = model(np.ones((4, 2), np.float32))
    model.backward(np.ones_like(y))
    nn.optim.SGD(model.parameters(), lr=0.1).step()
    assert (model[0].weight.data != before).all()


def test_the_file_is_safetensors_with_the_names_of_the_state_dict(path):
    model = language_model()
    nn.save(model, path)
    arrays = load_file(path)
    assert arrays.keys() == model.state_dict().keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, model.state_dict()[name])


def test_a_class_of_ones_own_is_built_by_its_owner_and_filled(path):
    model = MyOwn()
    model.weight.data[...] = 7, 8, 9
    nn.save(model, path)
    fresh = MyOwn()
    assert nn.load(path, fresh) is fresh
    np.testing.assert_array_equal(fresh.weight.data, [7, 8, 9])
    with pytest.raises(ValueError, match=r"MyOwn is not part of nnscratch: build the model yourself, "):
        nn.load(path)


def test_a_file_that_nnscratch_did_not_write_needs_a_model_to_fill(path):
    model, other = nn.Linear(2, 3, rng=0), nn.Linear(2, 3, rng=1)
    save_file(model.state_dict(), path)
    assert_same_weights(nn.load(path, other), model)
    with pytest.raises(ValueError, match=r"does not say which model it holds .*then call nn.load\(path, model\)"):
        nn.load(path)


def test_a_file_of_another_model_is_refused_and_the_model_keeps_its_weights(path):
    nn.save(nn.Linear(2, 3, rng=0), path)
    for model, message in (
        (nn.Linear(2, 4, rng=1), r"model.safetensors: weight: expected shape \(4, 2\), got \(3, 2\)"),
        (nn.Embedding(2, 3, rng=1), r"state does not fit Embedding: missing nothing, unknown \['bias'\]"),
        (language_model(), "state does not fit LanguageModel: missing"),
    ):
        before = {name: array.copy() for name, array in model.state_dict().items()}
        with pytest.raises(ValueError, match=message):
            nn.load(path, model)
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, -1])
def test_a_file_cut_short_is_refused_by_name_and_the_model_keeps_its_weights(path, keep):
    model = language_model()
    nn.save(model, path)
    path.write_bytes(path.read_bytes()[:keep])
    before = model.linear.weight.data.copy()
    for load in (lambda: nn.load(path), lambda: nn.load(path, model)):
        with pytest.raises(ValueError, match="model.safetensors is not a complete safetensors file"):
            load()
    np.testing.assert_array_equal(model.linear.weight.data, before)


@pytest.mark.parametrize("content", [b"once upon a time there was a file of text", b"\x80\x04K\x01.", b"\0" * 64])
def test_a_file_of_another_kind_is_refused_by_name(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.safetensors is not a complete safetensors file"):
        nn.load(path)


def test_a_file_that_is_not_there_is_named(path):
    with pytest.raises(FileNotFoundError, match="no such file: .*model.safetensors"):
        nn.load(path)


def test_weights_that_are_not_finite_are_refused(path):
    model = nn.Linear(2, 3, rng=0)
    model.bias.data[1] = np.nan
    nn.save(model, path)
    with pytest.raises(ValueError, match="model.safetensors: bias holds values that are not finite"):
        nn.load(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os.system", "os.system is not part of nnscratch"),
        ("builtins.eval", "builtins.eval is not part of nnscratch"),
        ("nnscratch_evil.Module", "nnscratch_evil.Module is not part of nnscratch"),
        ("nnscratch.layers.linear.np", "nnscratch.layers.linear.np is not a Module"),
        ("nnscratch.backend.Workspace", "nnscratch.backend.Workspace is not a Module"),
        ("nnscratch.layers.nosuch.Layer", "this version of nnscratch has no nnscratch.layers.nosuch.Layer"),
        ("nnscratch.layers.linear.Quadratic", "this version of nnscratch has no nnscratch.layers.linear.Quadratic"),
    ],
)
def test_a_file_can_name_modules_of_this_package_and_nothing_else(path, name, message):
    serialization.write_arrays(path, {"x": np.ones(1)}, {"model": {"class": name, "config": {}}})
    with pytest.raises(ValueError, match=message):
        nn.load(path)


def test_only_a_module_can_be_saved(path):
    with pytest.raises(TypeError, match=r"nn.save\(model, path\): model must be a Module, got dict"):
        nn.save({}, path)
    assert not path.exists()


def test_saving_that_fails_leaves_the_old_file_and_no_other(path, monkeypatch):
    nn.save(nn.Linear(2, 3, rng=0), path)
    before = path.read_bytes()

    def full_disk(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        nn.save(nn.Linear(20, 30, rng=0), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_saving_writes_over_an_old_file_and_leaves_no_other(path):
    nn.save(nn.Linear(20, 30, rng=0), path)
    nn.save(nn.Linear(2, 3, rng=0), path)
    assert nn.load(path).weight.shape == (3, 2)
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o666 & ~serialization._umask()


def test_there_is_no_pickle_in_the_file(path):
    nn.save(language_model(), path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    model = language_model()
    assert header.keys() - {"__metadata__"} == model.state_dict().keys()
    assert len(content) == 8 + length + sum(array.nbytes for array in model.state_dict().values())


@pytest.mark.parametrize("description", [{}, {"class": "nnscratch.layers.linear.Linear", "config": {"sides": 3}}, 7])
def test_a_broken_description_is_refused_with_the_files_name(tmp_path, description):
    path = tmp_path / "model.safetensors"
    serialization.write_arrays(path, {"weight": np.ones((2, 2))}, {"model": description})
    with pytest.raises(ValueError, match=r"model\.safetensors: the description of the model cannot be read"):
        nn.load(path)


def test_a_model_in_float64_comes_back_in_float64(path):
    model = nn.Linear(2, 3, rng=0).to(dtype=np.float64)
    model.weight.data += 1e-12
    nn.save(model, path)
    loaded = nn.load(path)
    assert loaded.weight.dtype == np.float64
    np.testing.assert_array_equal(loaded.weight.data, model.weight.data)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        nn.save(nn.Linear(2, 2), tmp_path / "nowhere" / "model.safetensors")


SIZE, CHANCE = np.int64(4), np.float32(0.5)  # what comes of tokens.max() + 1, or of a search


@pytest.mark.parametrize(
    "model",
    [
        nn.TransformerBlock(SIZE, SIZE, SIZE, CHANCE),
        nn.CrossEntropyLoss(SIZE, CHANCE),
        nn.models.CNN((1, 8, 8), SIZE, [SIZE], SIZE, CHANCE),
        nn.models.LanguageModel(SIZE, SIZE, SIZE, SIZE, CHANCE),
        nn.models.TransformerLM(SIZE, SIZE, SIZE, SIZE, SIZE, CHANCE),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_made_with_numbers_of_numpys_is_saved_like_any_other(path, model):
    nn.save(model, path)
    loaded = nn.load(path)
    assert repr(loaded) == repr(model)
    assert_same_weights(loaded, model)


def test_a_module_that_stands_twice_in_a_sequence_comes_back_as_one(path):
    shared = nn.Linear(3, 3, rng=0)
    model = nn.Sequential(shared, nn.Tanh(), nn.Sequential(nn.Tanh(), shared), nn.Linear(3, 3, rng=1))
    nn.save(model, path)
    loaded = nn.load(path)
    assert loaded[0] is loaded[2][1] and loaded[0] is not loaded[3]
    assert repr(loaded) == repr(model)
    assert_same_weights(loaded, model)


def test_a_model_with_two_heads_comes_back_from_its_file_alone(path):
    model = nn.models.TwoHeaded(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), nn.Linear(3, 1), nn.Linear(3, 2))
    nn.save(model, path)
    assert repr(nn.load(path)) == repr(model)
    assert_same_weights(nn.load(path), model)


def test_numbers_that_numpy_does_not_have_are_refused_with_the_files_name(path):
    torch, safetensors_torch = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    safetensors_torch.save_file({"weight": torch.ones(3, 2, dtype=torch.bfloat16), "bias": torch.ones(3)}, path)
    model = nn.Linear(2, 3, rng=0)
    with pytest.raises(ValueError, match=r"model\.safetensors has an array of a dtype that NumPy does not support"):
        nn.load(path, model)


@pytest.mark.parametrize("header", ["5", "null", "[" * 100_000])
def test_a_header_that_is_no_dictionary_is_refused_with_the_files_name(path, header):
    save_file({"weight": np.ones((2, 2))}, path, metadata={"nnscratch": header})
    with pytest.raises(ValueError, match=r"model\.safetensors is not a"):
        nn.load(path)


def test_a_file_cannot_run_the_command(path):
    serialization.write_arrays(path, {"x": np.ones(1)}, {"model": {"class": "nnscratch.__main__.X", "config": {}}})
    with pytest.raises(ValueError, match="this version of nnscratch has no nnscratch.__main__.X"):
        nn.load(path)


def test_a_folder_or_a_checkpoint_in_the_place_of_a_model_says_what_to_load(tmp_path):
    model = nn.Linear(2, 1)
    checkpoint = nn.training.Checkpoint(tmp_path)
    trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.Adam(model.parameters()), callbacks=[checkpoint])
    trainer.fit([(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))], steps=1)
    with pytest.raises(FileNotFoundError, match="is a folder: name a file in it, such as model.safetensors"):
        nn.load(tmp_path)
    with pytest.raises(ValueError, match="is a training checkpoint: load model.safetensors from the same folder"):
        nn.load(tmp_path / "checkpoint.safetensors")
    assert nn.load(tmp_path / "model.safetensors").weight.shape == (1, 2)


def test_a_tokenizer_and_a_class_are_refused_with_the_call_that_works(path):
    tokenizer = nn.data.CharTokenizer.from_text("abc")
    with pytest.raises(TypeError, match=r"got CharTokenizer; a tokenizer has its own method: tokenizer.save\(path\)"):
        nn.save(tokenizer, path)
    nn.save(MyOwn(), path)
    with pytest.raises(TypeError, match=r"got the class MyOwn: build it first, nn.load\(path, MyOwn\(...\)\)"):
        nn.load(path, MyOwn)
    with pytest.raises(TypeError, match="must be a Module, got int"):
        nn.load(path, 3)

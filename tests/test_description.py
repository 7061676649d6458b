"""A saved model comes back with its ties and its replaced layers. A file from a stranger is refused before it harms."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import nnscratch as nn
from nnscratch.description import build, describe


def header_only(path, spec, arrays=None):
    metadata = {"nnscratch": json.dumps({"model": spec})}
    save_file(arrays or {"weight": np.zeros((2, 2), "f")}, path, metadata=metadata)
    return path


def linear(**config):
    return {"class": "nnscratch.layers.linear.Linear", "config": {"in_features": 2, "out_features": 2, **config}}


def test_a_tie_that_the_user_made_comes_back(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Tanh(), nn.Linear(3, 3, rng=1))
    model[2].weight = model[0].weight
    nn.save(model, tmp_path / "tied.safetensors")
    loaded = nn.load(tmp_path / "tied.safetensors")
    assert loaded[2].weight is loaded[0].weight
    assert len(loaded.parameters()) == len(model.parameters()) == 3
    np.testing.assert_array_equal(loaded[0].weight.data, model[0].weight.data)


def test_a_replaced_layer_comes_back_with_its_settings(tmp_path):
    model = nn.models.LanguageModel(7, 4, 5, 1, cell="rnn", rng=0)
    name = next(name for name, child in model.named_children() if isinstance(child, nn.RNN))
    setattr(model, name, nn.RNN(4, 5, nonlinearity="relu", rng=1))
    nn.save(model, tmp_path / "rnn.safetensors")
    loaded = nn.load(tmp_path / "rnn.safetensors")
    assert getattr(loaded, name).nonlinearity == "relu"
    tokens = np.arange(6).reshape(1, 6)
    np.testing.assert_array_equal(loaded(tokens)[0], model(tokens)[0])


def test_a_model_with_lora_layers_comes_back(tmp_path):
    model = nn.models.MLP([4, 5, 2], rng=0)
    setattr(model.layers, "1", nn.LoRA(model.layers[1], rank=2, rng=1))
    nn.save(model, tmp_path / "lora.safetensors")
    loaded = nn.load(tmp_path / "lora.safetensors")
    x = np.ones((3, 4), "f")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert isinstance(loaded.layers[1], nn.LoRA)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_tied_weight_needs_one_of_its_names(kept):
    model = nn.models.LanguageModel(7, 4, 4, 1, tie_weights=True, rng=0)
    names = [name for name in model.state_dict() if model.state_dict()[name] is model.embedding.weight.data]
    state = {name: value.copy() for name, value in model.state_dict().items() if name != names[1 - kept]}
    other = nn.models.LanguageModel(7, 4, 4, 1, tie_weights=True, rng=1)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.embedding.weight.data, model.embedding.weight.data)
    del state[names[kept]]
    with pytest.raises(ValueError, match="missing"):
        other.load_state_dict(state)


def test_loading_draws_no_random_numbers(tmp_path, monkeypatch):
    nn.save(nn.models.LanguageModel(7, 4, 5, 1, rng=0), tmp_path / "m.safetensors")

    def refuse(*args, **kwargs):
        raise AssertionError("a generator was made to draw")

    monkeypatch.setattr(nn.init.backend, "generator", lambda rng=None: type("G", (), {"uniform": refuse})())
    nn.load(tmp_path / "m.safetensors")


SPECS = {
    "a large layer": linear(in_features=12_000, out_features=12_000),
    "larger than any memory": linear(in_features=10**6, out_features=10**6),
    "larger than an int64": linear(in_features=10**30),
    "a wide norm": {"class": "nnscratch.layers.layer_norm.LayerNorm", "config": {"normalized_shape": 10**10}},
    "many layers": {
        "class": "nnscratch.layers.lstm.LSTM",
        "config": {"input_size": 1, "hidden_size": 1, "num_layers": 10**6},
    },
    "layers without end": {
        "class": "nnscratch.layers.lstm.LSTM",
        "config": {"input_size": 1, "hidden_size": 1, "num_layers": 10**9},
    },
    "a long name": {"class": "nnscratch" + ".a" * 100_000, "config": {}},
    "a class of another package": {"class": "subprocess.Popen", "config": {"args": ["touch", "pwned"]}},
    "a module that runs when imported": {"class": "nnscratch.__main__.main", "config": {}},
    "a function": {"class": "nnscratch.serialization.load", "config": {"path": "x"}},
    "no class": {"config": {}},
    "a list": [1, 2],
    "a number": 7,
    "nothing": None,
    "a wrong number of a module": {"class": "nnscratch.sequential.Sequential", "config": {}, "modules": [{"same": 9}]},
    "an argument that no constructor has": linear(surprise=1),
    "a class that is no text": {"class": 5, "config": {}},
    "a tie of nothing": {**linear(), "tied": [["weight", "nothing"]]},
    "a tie of a weight and a module": {**linear(), "tied": [["weight", "config"]]},
    "a tie outside the model": {**linear(), "tied": [["weight", "__class__.forward"]]},
    "a replaced attribute": {**linear(), "replaced": {"forward": linear()}},
}


@pytest.mark.parametrize("name", SPECS)
def test_a_description_from_a_stranger_is_refused_and_nothing_is_imported_or_allocated(tmp_path, name):
    before, imported = list(tmp_path.iterdir()), set(sys.modules)
    path = header_only(tmp_path / "model.safetensors", SPECS[name])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        nn.load(path)
    assert set(sys.modules) == imported
    assert [p for p in tmp_path.iterdir() if p != path] == before


def test_a_deep_description_is_refused(tmp_path):
    outside = '{"class": "nnscratch.sequential.Sequential", "config": {}, "modules": ['
    spec = outside * 20_000 + json.dumps(linear()) + "]}" * 20_000
    save_file({"w": np.zeros(2, "f")}, tmp_path / "deep.safetensors", metadata={"nnscratch": f'{{"model": {spec}}}'})
    with pytest.raises(ValueError, match=r"deep\.safetensors"):
        nn.load(tmp_path / "deep.safetensors")


def test_a_description_has_no_new_entries_where_the_constructor_makes_the_model():
    for model in (nn.models.MLP([3, 4, 2]), nn.models.LanguageModel(7, 4, 4, 1, tie_weights=True), nn.LSTM(2, 3)):
        assert describe(model).keys() <= {"class", "config", "modules"}
        assert build(describe(model), 10_000).state_dict().keys() == model.state_dict().keys()


def test_a_short_description_of_very_many_modules_is_refused(tmp_path):
    """Each of 40 modules contains the previous one twice, so `named_modules` would yield 2**40 modules."""
    spec = {"class": "nnscratch.layers.tanh.Tanh", "config": {}}
    for k in range(40):
        spec = {"class": "nnscratch.sequential.Sequential", "config": {}, "modules": [spec, {"same": k}]}
    path = header_only(tmp_path / "model.safetensors", spec)
    with pytest.raises(ValueError, match=r"model\.safetensors: .* more than 100,000 modules"):
        nn.load(path)


def test_parameters_and_buffers_of_different_dtypes_keep_them(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.BatchNorm1d(3), nn.Linear(3, 1, rng=1))
    model[1].to(dtype=np.float64)
    model[2].to(dtype=np.float16)
    nn.save(model, tmp_path / "model.safetensors")
    again = nn.load(tmp_path / "model.safetensors").state_dict()
    assert {name: a.dtype for name, a in again.items()} == {name: a.dtype for name, a in model.state_dict().items()}

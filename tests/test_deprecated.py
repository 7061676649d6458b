"""Old names work for one more release and warn with the new name."""

import json

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import description, serialization

OLD_NAMES = [
    (nn, "MultiHeadAttention", nn.MultiheadAttention),
    (nn.layers, "MultiHeadAttention", nn.MultiheadAttention),
    (nn.optim, "clip_grad_norm", nn.optim.clip_grad_norm_),
    (nn.optim, "clip_grad_value", nn.optim.clip_grad_value_),
    (nn.backend, "at_a_time", nn.backend.chunk_size),
    (nn.backend, "can_look", nn.backend.cheap_to_read),
    (nn.backend, "number", nn.backend.to_scalar),
    (nn.backend, "reading_later", nn.backend.deferred_reads),
    (nn.backend, "uniform", nn.backend.uniform_like),
]


@pytest.mark.parametrize(("module", "old", "new"), OLD_NAMES, ids=lambda value: str(getattr(value, "__name__", value)))
def test_an_old_name_is_the_new_thing_and_warns(module, old, new):
    with pytest.warns(DeprecationWarning, match=f"{module.__name__}.{old} is now called .*{new.__name__}"):
        assert getattr(module, old) is new


def test_a_name_that_never_was_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'nnscratch' has no attribute 'MultiHead'"):
        _ = nn.MultiHead


def test_the_old_argument_of_a_transformer_block():
    with pytest.warns(DeprecationWarning, match="dim_feedforward"):
        assert nn.TransformerBlock(4, 2, hidden=6).linear1.out_features == 6


def test_the_argument_that_once_chose_the_form_of_the_gelu():
    with pytest.warns(DeprecationWarning, match="approximate is now called activation"):
        assert nn.TransformerBlock(4, 2, approximate="tanh").config()["activation"] == "gelu_tanh"
    expected = pytest.raises(ValueError, match="approximate must be one of 'none', 'tanh', got 'sigmoid'")
    with pytest.warns(DeprecationWarning), expected:
        nn.TransformerBlock(4, 2, approximate="sigmoid")


def test_the_old_attributes_of_a_trainer():
    model = nn.Linear(2, 1, rng=0)
    trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1))
    with pytest.warns(DeprecationWarning, match="Trainer.ask_step is now called Trainer.enqueue_step"):
        trainer.ask_step(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))
    with pytest.warns(DeprecationWarning, match="Trainer.step is now called Trainer.steps_done"):
        assert trainer.step == 1
    with pytest.warns(DeprecationWarning, match="Trainer.step is now called Trainer.steps_done"):
        trainer.step = 7
    assert trainer.steps_done == 7


def test_a_file_that_names_classes_as_they_were_called_is_read(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4, rng=0), nn.MultiheadAttention(4, 2, rng=1))
    spec = json.dumps(description.describe(model))
    spec = spec.replace("nnscratch.sequential.", "nnscratch.module.").replace("MultiheadA", "MultiHeadA")
    assert "nnscratch.module.Sequential" in spec and "MultiHeadAttention" in spec
    serialization.write_arrays(tmp_path / "old.safetensors", model.state_dict(), {"model": json.loads(spec)})
    x = np.ones((1, 3, 4), dtype=np.float32)
    assert (nn.load(tmp_path / "old.safetensors")(x) == model(x)).all()

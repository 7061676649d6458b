"""Residual with a projection: shapes, files and wrong arguments."""

import numpy as np
import pytest

import nnscratch as nn


def block():
    f = nn.Conv2d(2, 4, 3, stride=2, padding=1, rng=0), nn.BatchNorm2d(4)
    projection = nn.Sequential(nn.Conv2d(2, 4, 1, stride=2, bias=False, rng=1), nn.BatchNorm2d(4))
    return nn.Residual(*f, projection=projection)


def test_a_block_with_a_projection_survives_a_file(tmp_path):
    model, x = nn.Sequential(block(), nn.ReLU(), nn.Residual(nn.Tanh())), np.ones((2, 2, 5, 5), dtype=np.float32)
    model(x)  # changes the running averages
    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    assert loaded.state_dict().keys() == model.state_dict().keys() and "0.projection.0.weight" in model.state_dict()
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(loaded.eval()(x), model.eval()(x))


def test_the_projection_is_not_one_of_the_layers():
    assert [type(layer).__name__ for layer in block().layers] == ["Conv2d", "BatchNorm2d"] and len(block()) == 2


def test_wrong_shapes_and_projections_are_refused():
    with pytest.raises(TypeError, match="projection must be a Module or None, got int"):
        nn.Residual(nn.Tanh(), projection=3)
    with pytest.raises(ValueError, match=r"to the projection of x.*shape \(4, 2\) and an output of shape \(4, 5\)"):
        nn.Residual(nn.Linear(3, 5), projection=nn.Linear(3, 2))(np.ones((4, 3), dtype=np.float32))

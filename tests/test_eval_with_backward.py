"""Inside `eval_with_backward`, a layer computes what it computes in eval() mode, and backward is its gradient."""

import numpy as np
import pytest
from cases import LAYERS
from directions import assert_gradient

import nnscratch as nn
from nnscratch.modes import eval_with_backward


def first(y):
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("case", [case for cases in LAYERS.values() for case in cases], ids=repr)
def test_a_layer_computes_what_eval_mode_computes_and_backward_works(case):
    layer = case.build().to(dtype=np.float64)
    x, *others = case.inputs(np.random.default_rng(0))
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean[...], module.running_var[...] = 0.3, 2.0
    layer.eval()
    y = first(layer(x, *others))
    with eval_with_backward(layer):
        np.testing.assert_array_equal(first(layer(x, *others)), y)
        if x.dtype == int:
            return
        dy = np.random.default_rng(1).normal(size=y.shape)
        dx = first(layer.backward(dy))
    assert_gradient(lambda: (first(layer(x, *others)) * dy).sum(), x, dx)
    assert not layer.training and not layer.deterministic


@pytest.mark.parametrize("build", [
    lambda: nn.Dropout(0.5, rng=0),
    lambda: nn.VariationalDropout(0.5, rng=0),
    lambda: nn.LSTM(4, 4, 2, 0.5, rng=0),
    lambda: nn.MultiheadAttention(4, 2, 0.5, rng=0),
    lambda: nn.TransformerBlock(4, 2, dropout=0.5, rng=0),
])  # fmt: skip
def test_nothing_is_dropped_and_no_random_number_is_drawn(build):
    layer, x = build().to(dtype=np.float64), np.random.default_rng(0).normal(size=(2, 3, 4))
    states = [m.rng.bit_generator.state for m in layer.modules() if hasattr(m, "rng")]
    with eval_with_backward(layer):
        a = first(layer(x))
    assert [m.rng.bit_generator.state for m in layer.modules() if hasattr(m, "rng")] == states
    assert not np.array_equal(first(layer(x)), a)  # in training mode it drops
    np.testing.assert_array_equal(first(layer.eval()(x)), a)


def test_batch_norm_leaves_its_running_averages_unchanged():
    layer = nn.BatchNorm1d(2)
    with eval_with_backward(layer):
        layer(np.ones((1, 2), dtype=np.float32))  # one example is enough
    np.testing.assert_array_equal(layer.running_mean, [0, 0])
    assert layer.num_batches_tracked == 0


def test_blocks_inside_each_other_and_errors_restore_the_mode():
    layer = nn.Dropout(0.5)
    with pytest.raises(ZeroDivisionError), eval_with_backward(layer):
        with eval_with_backward(layer):
            pass
        assert layer.deterministic
        raise ZeroDivisionError
    assert layer.training and not layer.deterministic and "deterministic" not in vars(layer)

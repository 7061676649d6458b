"""record, which records the calls of each module, and summary, a table of the layers."""

import numpy as np
import pytest

import nnscratch as nn

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def small():
    return nn.Sequential(nn.Linear(3, 5, rng=0), nn.Tanh(), nn.Linear(5, 2, rng=1))


def state_of(model):
    return [{k: v for k, v in vars(m).items() if k in ("forward", "backward", "_stack")} for m in model.modules()]


def test_record_sees_every_modules_outputs_and_gradients():
    model = small()
    with nn.record(model) as seen:
        y = model(X)
        dx = model.backward(np.ones_like(y))
    np.testing.assert_array_equal(seen["1"].output, np.tanh(seen["0"].output))
    np.testing.assert_array_equal(seen[""].output, y)
    np.testing.assert_array_equal(seen["2"].gradient, np.ones_like(y))
    np.testing.assert_array_equal(seen["1"].gradient, np.ones_like(y) @ model[2].weight.data)
    np.testing.assert_array_equal(dx, seen["0"].gradient @ model[0].weight.data)


def test_record_changes_no_number_and_leaves_nothing_behind_even_after_an_error():
    plain, watched = small(), small()
    with nn.record(watched):
        y = watched(X)
        watched.backward(np.ones_like(y))
    plain.backward(np.ones_like(plain(X)))
    for p, q in zip(plain.parameters(), watched.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad, q.grad)
    watched.zero_grad()
    with pytest.raises(ValueError, match="last axis must be 3"), nn.record(watched):
        watched(X[:, :2])
    assert state_of(watched) == [{}, {}, {}, {}]


def test_a_recording_inside_another_gives_back_the_outer_one():
    model = small()
    with nn.record(model) as outer:
        with nn.record(model) as inner:
            model(X)
        model(X)
    assert len(outer["0"].outputs) == 2 and len(inner["0"].outputs) == 1
    assert not any("forward" in vars(m) for m in model.modules())


def test_a_module_used_twice_is_seen_twice():
    shared = nn.Linear(3, 3, rng=0)
    model = nn.Sequential(shared, shared)
    with nn.record(model) as seen:
        model.backward(model(X))
    assert list(seen) == ["", "0"]
    assert len(seen["0"].outputs) == len(seen["0"].gradients) == 2


def test_record_works_through_a_language_model_in_eval_mode_and_both_directions():
    model = nn.models.TransformerLM(7, 8, 2, 2, 6, rng=0).eval()
    with nn.record(model) as seen:
        model(np.array([[1, 2, 3]]))
    assert seen["blocks.1.self_attn"].output.shape == (1, 3, 8)
    lstm = nn.LSTM(3, 4, bidirectional=True, rng=0)
    with nn.record(lstm) as seen:
        y, _ = lstm(X[None], lengths=[3])
        lstm.backward(np.ones_like(y))
    assert seen[""].output.shape == (1, 4, 8) and len(seen[""].outputs) == 1


def test_what_was_not_seen_is_an_error():
    with nn.record(small()) as seen:
        pass
    with pytest.raises(RuntimeError, match="no call of forward was recorded"):
        seen["0"].output  # noqa: B018
    with pytest.raises(TypeError, match="model must be a Module, got list"), nn.record([]):
        pass


def test_summary_counts_parameters_once_and_leaves_the_model_alone():
    model = nn.models.LanguageModel(11, 6, 6, 2, 0.5, True, rng=0).eval()
    before, state = [p.data.copy() for p in model.parameters()], model.lstm.rng.bit_generator.state
    table = nn.summary(model, np.zeros((2, 4), dtype=int))
    assert table.parameters == sum(p.size for p in model.parameters())
    assert model.lstm.rng.bit_generator.state == state and not model.training
    assert all(np.array_equal(p.data, b) for p, b in zip(model.parameters(), before, strict=True))
    assert state_of(model) == [{}] * len(list(model.modules()))


@pytest.mark.parametrize(
    ("layer", "x", "flops"),
    [
        (nn.Linear(3, 5), np.zeros((4, 3), dtype=np.float32), 2 * 4 * 3 * 5),
        (nn.Conv2d(2, 6, 3), np.zeros((1, 2, 8, 8), dtype=np.float32), 2 * 6 * 6 * 6 * 2 * 9),
        (nn.RNN(3, 5), np.zeros((2, 7, 3), dtype=np.float32), 2 * 14 * 5 * (3 + 5)),
        (nn.GRU(3, 5), np.zeros((2, 7, 3), dtype=np.float32), 2 * 14 * 15 * (3 + 5)),
        (nn.LSTM(3, 5, 2), np.zeros((2, 7, 3), dtype=np.float32), 2 * 14 * 20 * (3 + 5 + 5 + 5)),
        (nn.LSTMCell(3, 5), np.zeros((2, 3), dtype=np.float32), 2 * 2 * 20 * (3 + 5)),
        (nn.MultiheadAttention(8, 2), np.zeros((3, 5, 8), dtype=np.float32), 2 * 15 * 8 * 32 + 4 * 3 * 25 * 8),
        (nn.Tanh(), np.zeros(3), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_summary_counts_the_operations_of_the_products(layer, x, flops):
    assert nn.summary(layer, x).flops == flops


def test_summary_counts_an_array_that_two_layers_keep_once():
    model = nn.Sequential(nn.Linear(4, 4, rng=0), nn.Tanh(), nn.Linear(4, 4, rng=1))
    x = np.zeros((8, 4), dtype=np.float32)
    assert nn.summary(model, x).kept == 2 * x.nbytes  # x, and tanh's output, which the last layer reads


def test_summary_refuses_what_is_no_module():
    with pytest.raises(TypeError, match="model must be a Module, got int"):
        nn.summary(3)

"""Seq2Seq and TransformerSeq2Seq: padding, decoding step by step, training, files."""

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(0)
SOURCE, TARGET, LENGTHS = RNG.integers(0, 7, (3, 5)), RNG.integers(0, 6, (3, 4)), [5, 2, 3]
BUILD = {
    "attention": lambda **more: nn.models.Seq2Seq(7, 6, 4, 5, 2, rng=1, **more),
    "peek": lambda **more: nn.models.Seq2Seq(7, 6, 4, 5, 2, connection="peek", rng=1, **more),
    "state": lambda **more: nn.models.Seq2Seq(7, 6, 4, 5, 2, connection="state", rng=1, **more),
    "pre-norm": lambda **more: nn.models.TransformerSeq2Seq(7, 6, 8, 2, 2, 10, rng=1, **more),
    "post-norm": lambda **more: nn.models.TransformerSeq2Seq(7, 6, 8, 2, 2, norm_first=False, rng=1, **more),
}
every_model = pytest.mark.parametrize("name", BUILD)


def make(name, **more):
    return BUILD[name](**more).to(dtype=np.float64)


def reversal(count, rng):
    """Return sources of 4 tokens in 2..6, and targets that are the same tokens in the opposite order."""
    source = rng.integers(2, 6, (count, 4))
    target = np.column_stack([np.zeros(count, int), source[:, ::-1], np.ones(count, int)])
    return source, target


class WithLengths(nn.Module):
    """A small model whose sources have padding, with two inputs for the checker."""

    def __init__(self, name):
        if name.endswith("norm"):
            self.model = nn.models.TransformerSeq2Seq(4, 3, 4, 2, 1, 3, norm_first=name == "pre-norm", rng=1)
        else:
            self.model = nn.models.Seq2Seq(4, 3, 2, 3, connection=name, rng=1)

    def forward(self, source, target):
        return self.model(source, target, [3, 1])

    def backward(self, dlogits):
        return self.model.backward(dlogits)


@every_model
def test_all_gradients_are_the_numerical_ones(name):
    model = WithLengths(name).to(dtype=np.float64)
    report = check_gradients(model, RNG.integers(0, 4, (2, 3)), RNG.integers(0, 3, (2, 2)), mode="directional")
    assert report.ok and report.max_error < 1e-6, report
    assert {entry.name for entry in report} == {name for name, _ in model.named_parameters()}


@every_model
def test_padding_is_never_read_and_each_source_gives_what_it_gives_alone(name):
    model = make(name)
    logits = model(SOURCE, TARGET, LENGTHS)
    model.backward(np.ones_like(logits))
    gradients = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    other = np.where(np.arange(5) < np.array(LENGTHS)[:, None], SOURCE, 6 - SOURCE)
    np.testing.assert_allclose(model(other, TARGET, np.array(LENGTHS)), logits, rtol=1e-12, atol=1e-14)
    model.backward(np.ones_like(logits))
    for p, g in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_allclose(p.grad, g, rtol=1e-10, atol=1e-12)
    for n, length in enumerate(LENGTHS):
        alone = model(SOURCE[n : n + 1, :length], TARGET[n : n + 1])
        np.testing.assert_allclose(alone[0], logits[n], rtol=1e-10, atol=1e-12)


@every_model
def test_a_target_token_does_not_see_later_ones(name):
    model = make(name)
    logits = model(SOURCE, TARGET)
    changed = TARGET.copy()
    changed[:, 2:] = 5 - changed[:, 2:]
    again = model(SOURCE, changed)
    np.testing.assert_allclose(again[:, :2], logits[:, :2], rtol=1e-12, atol=1e-14)
    assert (again[:, 2:] != logits[:, 2:]).any()


@every_model
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_token_by_token_it_gives_what_one_call_gives(name, lengths):
    model = make(name, dropout=0.5).eval()
    expected = model(SOURCE, TARGET, lengths)
    state = model.start(SOURCE, lengths)
    for t in range(4):
        logits, state = model.step(TARGET[:, t], state)
        np.testing.assert_allclose(logits, expected[:, t], rtol=1e-10, atol=1e-12)
    rows = np.array([2, 0])  # select sequences, as a search does
    logits, _ = model.step(TARGET[rows, 0], tuple(a[rows] for a in state))
    everything, _ = model.step(TARGET[:, 0], state)
    np.testing.assert_allclose(logits, everything[rows], rtol=1e-10, atol=1e-12)


def test_a_step_does_not_compute_the_keys_and_values_of_the_memory_again():
    model = make("pre-norm").eval()
    expected = model(SOURCE, TARGET[:, :1])[:, 0]
    state = model.start(SOURCE)
    for block in model.decoder.layers:
        block.multihead_attn.in_proj_weight.data[model.embed_size :] = np.nan  # those of the keys and the values
    logits, _ = model.step(TARGET[:, 0], state)
    np.testing.assert_allclose(logits, expected, rtol=1e-10, atol=1e-12)


@every_model
def test_it_learns_to_reverse_a_sequence_and_survives_a_file(name, tmp_path):
    rng = np.random.default_rng(0)
    source, target = reversal(256, rng)
    sizes = {"embed_size": 16, "rng": 0}
    if name.endswith("norm"):
        model = nn.models.TransformerSeq2Seq(6, 6, num_heads=2, num_layers=1, norm_first=name == "pre-norm", **sizes)
    else:
        model = nn.models.Seq2Seq(6, 6, hidden_size=32, connection=name, **sizes)
    lengths = np.full(len(source), 4)
    batches = nn.data.Batches((source, target[:, :-1], lengths), target[:, 1:], batch_size=32, rng=0)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, max_norm=1.0).fit(batches, epochs=12)
    assert nn.evaluate(model, nn.CrossEntropyLoss(), batches) < 0.1
    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    new = reversal(50, rng)[0]
    written = nn.greedy_search(model, new, start=0, stop=1, max_length=6)
    assert np.mean([y.tolist() == x[::-1].tolist() for x, y in zip(new, written, strict=True)]) > 0.9
    for one, other in zip(written, nn.greedy_search(loaded, new, start=0, stop=1, max_length=6), strict=True):
        np.testing.assert_array_equal(one, other)


@every_model
def test_one_backward_for_each_forward_leaves_nothing_behind(name):
    model = make(name, dropout=0.3)
    for _ in range(2):
        model.backward(np.ones_like(model(SOURCE, TARGET, LENGTHS)))
    assert not any(module.__dict__.get("_stack") for module in model.modules())
    with pytest.raises(RuntimeError, match="Linear.backward: no saved forward call is left"):
        model.backward(np.ones((3, 4, 6)))
    model.eval()(SOURCE, TARGET)
    assert not any(module.__dict__.get("_stack") for module in model.modules())


@every_model
def test_bad_input_is_refused(name):
    model = make(name)
    with pytest.raises(ValueError, match=r"source must be in 0..6, got 0..7"):
        model(np.array([[0, 7]]), np.array([[0]]))
    with pytest.raises(TypeError, match="target must be integers, got float64"):
        model(SOURCE, TARGET.astype(float))
    with pytest.raises(ValueError, match=r"with equal batch; got \(3, 5\) and \(2, 4\)"):
        model(SOURCE, TARGET[:2])
    with pytest.raises(ValueError, match=r"got \(5,\) and \(4,\)"):
        model(SOURCE[0], TARGET[0])
    with pytest.raises(ValueError, match="lengths must be in 1..5, got 0..5"):
        model(SOURCE, TARGET, [5, 0, 3])


def test_a_connection_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="connection must be one of 'attention', 'peek', 'state', got 'none'"):
        nn.models.Seq2Seq(7, 6, 4, 5, connection="none")

"""The language model: its gradients, its memory, its tied weights, its errors."""

import numpy as np
import pytest
from directions import assert_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn


def draw(n, t, vocab, embed, hidden, layers, seed, **settings):
    """A float64 model, tokens, targets, an initial state and a gradient for the final state."""
    rng = np.random.default_rng(seed)
    model = nn.models.LanguageModel(vocab, embed, hidden, layers, **settings, rng=rng).to(dtype=np.float64)
    tokens, targets = rng.integers(0, vocab, (2, n, t))
    state, dstate = (tuple(rng.normal(size=(2, layers, n, hidden))) for _ in range(2))
    return model, tokens, targets, state, dstate


def loss_of(model, tokens, targets, state, dstate):
    """Cross-entropy of the logits plus the inner product of the final state with `dstate`."""
    logits, final = model(tokens, state)
    return nn.CrossEntropyLoss()(logits, targets) + sum((g * s).sum() for g, s in zip(dstate, final, strict=True))


def backward(model, tokens, targets, state, dstate):
    """Run backward; return the gradient of that loss with respect to the initial state."""
    criterion = nn.CrossEntropyLoss()
    logits, _ = model(tokens, state)
    criterion(logits, targets)
    nothing, dinitial = model.backward(criterion.backward(), dstate)
    assert nothing is None  # tokens have no gradient
    return dinitial


@settings(max_examples=15)
@given(
    n=st.integers(1, 2), t=st.integers(1, 3), vocab=st.integers(2, 5), embed=st.integers(1, 3),
    hidden=st.integers(1, 3), layers=st.integers(1, 3), tie=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
def test_every_gradient_of_the_whole_model_matches_finite_differences(n, t, vocab, embed, hidden, layers, tie, seed):
    embed = hidden if tie else embed
    model, *inputs = draw(n, t, vocab, embed, hidden, layers, seed, tie_weights=tie)
    dstate0 = backward(model, *inputs)
    analytic = {name: p.grad.copy() for name, p in model.named_parameters()}
    model.eval()
    for name, parameter in model.named_parameters():
        assert_gradient(lambda: loss_of(model, *inputs), parameter.data, analytic[name], name)
    state = inputs[2]
    for name, s, ds in zip(("h", "c"), state, dstate0, strict=True):
        assert_gradient(lambda: loss_of(model, *inputs), s, ds, name)


def test_with_two_layers_and_dropout_the_gradients_match_for_the_masks_that_were_drawn():
    model, *inputs = draw(2, 3, 5, 3, 4, 2, seed=1, dropout=0.4)
    generators = {id(m.rng): m.rng for m in model.modules() if hasattr(m, "rng")}.values()
    start = [g.bit_generator.state for g in generators]

    def rewind():
        for generator, state in zip(generators, start, strict=True):
            generator.bit_generator.state = state

    def loss():
        rewind()
        return loss_of(model, *inputs)

    rewind()
    backward(model, *inputs)
    for name, parameter in model.named_parameters():
        assert_gradient(loss, parameter.data, parameter.grad, name)


def test_logits_are_embedding_then_lstm_then_linear():
    model, tokens, _, state, _ = draw(2, 3, 5, 3, 4, 2, seed=0)
    h, expected_final = model.lstm(model.embedding(tokens), state)
    logits, final = model(tokens, state)
    np.testing.assert_array_equal(logits, model.linear(h))
    np.testing.assert_array_equal(final, expected_final)


def test_tied_weights_are_one_parameter_that_gets_both_gradients():
    tied, *inputs = draw(2, 3, 5, 4, 4, 1, seed=0, tie_weights=True)
    apart, *_ = draw(2, 3, 5, 4, 4, 1, seed=0)
    apart.load_state_dict(tied.state_dict())
    assert tied.embedding.weight is tied.linear.weight
    assert apart.embedding.weight is not apart.linear.weight
    assert len(tied.parameters()) == len(apart.parameters()) - 1
    for model in (tied, apart):
        backward(model, *inputs)
    both = apart.embedding.weight.grad + apart.linear.weight.grad
    np.testing.assert_allclose(tied.linear.weight.grad, both, rtol=1e-12, atol=1e-15)


def test_reading_on_from_the_state_is_the_same_as_reading_at_once():
    model, tokens, _, state, _ = draw(2, 6, 5, 3, 4, 2, seed=0)
    logits, final = model(tokens, state)
    left, middle = model(tokens[:, :2], state)
    right, final_right = model(tokens[:, 2:], middle)
    np.testing.assert_allclose(np.concatenate([left, right], axis=1), logits, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(final_right, final, rtol=1e-12, atol=1e-14)


def test_a_new_hidden_state_is_zero_and_the_same_as_none():
    model, tokens, *_ = draw(2, 3, 5, 3, 4, 2, seed=0)
    h, c = model.init_hidden(batch_size=2)
    assert h.shape == c.shape == (2, 2, 4) and h.dtype == np.float64 and not h.any() and not c.any()
    np.testing.assert_array_equal(model(tokens, (h, c))[0], model(tokens)[0])


def train(model, steps, seed=0):
    rng = np.random.default_rng(seed)
    criterion, optimizer = nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.01)
    hidden = model.init_hidden(3)
    losses = []
    for _ in range(steps):
        first = rng.integers(0, 7, (3, 1))
        tokens = (first + np.arange(6)) % 7  # the next token is the token plus one
        model.zero_grad()
        logits, hidden = model(tokens[:, :-1], hidden)
        losses.append(criterion(logits, tokens[:, 1:]))
        model.backward(criterion.backward())
        nn.optim.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return losses, criterion


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3}, {"tie_weights": True}])
def test_after_fifty_training_steps_no_forward_is_left_on_any_stack(settings):
    model = nn.models.LanguageModel(7, 8, 8, 2, **settings, rng=0)
    _, criterion = train(model, 50)
    assert [m for m in (*model.modules(), criterion) if m.__dict__.get("_stack")] == []


def test_a_forward_that_evaluates_leaves_nothing_on_any_stack():
    model, tokens, *_ = draw(2, 3, 5, 3, 4, 2, seed=0)
    model.eval()
    for _ in range(3):
        model(tokens)
    assert [m for m in model.modules() if m.__dict__.get("_stack")] == []


def test_it_learns_to_count():
    losses, _ = train(nn.models.LanguageModel(7, 8, 16, rng=0), 150)
    assert losses[0] == pytest.approx(np.log(7), rel=0.15)
    assert losses[-1] < 0.1


def test_the_same_seed_gives_the_same_model_and_the_same_training_bit_for_bit():
    one, other, stranger = (nn.models.LanguageModel(7, 8, 8, 2, dropout=0.3, rng=seed) for seed in (5, 5, 6))
    assert train(one, 10)[0] == train(other, 10)[0] != train(stranger, 10)[0]
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_names_are_those_of_a_pytorch_module_with_embedding_lstm_and_linear():
    names = list(nn.models.LanguageModel(7, 3, 4, 1).state_dict())
    lstm = [f"lstm.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    assert sorted(names) == sorted(["embedding.weight", *lstm, "linear.weight", "linear.bias"])


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        (np.array([0, 1]), ValueError, r"LanguageModel needs tokens of shape \(batch, time\), got \(2,\)"),
        (np.array([[0, 5]]), ValueError, r"must be in 0\.\.4, got 0\.\.5"),
        (np.array([[0, -1]]), ValueError, r"must be in 0\.\.4, got -1\.\.0"),
        (np.array([[0.0, 1.0]]), TypeError, "must be integers, got float64"),
        ([[0, 1]], TypeError, "expected a NumPy or CuPy array, got list"),
        (np.zeros((0, 3), int), ValueError, "at least one sequence and one step"),
        (np.zeros((3, 0), int), ValueError, "at least one sequence and one step"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(tokens, error, message):
    with pytest.raises(error, match=message):
        nn.models.LanguageModel(5, 3, 4, rng=0)(tokens)


def test_a_state_of_another_batch_size_is_refused():
    model = nn.models.LanguageModel(5, 3, 4, rng=0)
    with pytest.raises(ValueError, match=r"h must be \(num_layers, batch, .*\) = \(1, 2, 4\), got \(1, 3, 4\)"):
        model(np.zeros((2, 5), int), model.init_hidden(3))


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="the sizes must be equal, got 3 and 4"):
        nn.models.LanguageModel(5, 3, 4, tie_weights=True)
    with pytest.raises(ValueError, match=r"must be a probability in \[0, 1\), got 2"):
        nn.models.LanguageModel(5, 3, 4, dropout=2)
    with pytest.raises(ValueError, match="num_layers must be an integer of 1 or more, got 0"):
        nn.models.LanguageModel(5, 3, 4, num_layers=0)
    with pytest.raises(ValueError, match="batch_size must be an integer of 1 or more, got 0"):
        nn.models.LanguageModel(5, 3, 4).init_hidden(0)


@pytest.mark.parametrize("settings", [
    {"embed_size": None}, {"embed_size": None, "cell": "gru", "num_layers": 2},
    {"embed_size": 3, "cell": "rnn", "nonlinearity": "relu"},
    {"embed_size": None, "cell": "rnn", "nonlinearity": "relu"},
], ids=str)  # fmt: skip
def test_one_hot_input_and_a_relu_network_have_the_numerical_gradients_and_files(settings, tmp_path):
    model = nn.models.LanguageModel(vocab_size=5, hidden_size=4, rng=1, **settings).to(dtype=np.float64)
    tokens, targets = np.random.default_rng(0).integers(0, 5, (2, 2, 3))
    model.loss_and_backward(tokens, targets)
    gradients = {name: p.grad.copy() for name, p in model.named_parameters()}
    assert ("embedding.weight" in gradients) == (settings["embed_size"] is not None)
    criterion = nn.CrossEntropyLoss()
    for name, p in model.named_parameters():
        assert_gradient(lambda: criterion(model(tokens)[0], targets), p.data, gradients[name], name)
    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    assert loaded.config() == model.config()
    np.testing.assert_array_equal(loaded(tokens)[0], model(tokens)[0])


def test_one_hot_input_is_an_embedding_with_the_identity_as_its_table():
    one = nn.models.LanguageModel(5, None, 4, rng=1)
    other = nn.models.LanguageModel(5, 5, 4, rng=1)
    other.load_state_dict(one.state_dict() | {"embedding.weight": np.eye(5, dtype=np.float32)})
    tokens = np.array([[1, 2, 4], [0, 3, 1]])
    np.testing.assert_allclose(one(tokens)[0], other(tokens)[0], rtol=1e-6)


def test_the_settings_of_one_hot_input_and_of_the_relu_are_checked():
    with pytest.raises(ValueError, match='nonlinearity=.relu. is for cell="rnn" only, got cell=.lstm.'):
        nn.models.LanguageModel(5, 4, 4, nonlinearity="relu")
    with pytest.raises(ValueError, match="nonlinearity must be"):
        nn.models.LanguageModel(5, 4, 4, cell="rnn", nonlinearity="sigmoid")
    with pytest.raises(ValueError, match="the sizes must be equal, got None and 4"):
        nn.models.LanguageModel(5, None, 4, tie_weights=True)
    with pytest.raises(ValueError, match=r"one_hot: ids must be in 0\.\.2, got 0\.\.3"):
        nn.data.one_hot(np.array([0, 3]), 3)
    with pytest.raises(TypeError, match="one_hot needs integers, got float64"):
        nn.data.one_hot(np.array([0.0]), 3)
    assert nn.data.one_hot(np.array([[1]]), 2, np.float64).dtype == np.float64

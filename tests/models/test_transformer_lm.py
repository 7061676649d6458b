"""TransformerLM: gradients, the window, training, generation, files and wrong arguments."""

import numpy as np
import pytest
from directions import assert_gradient

import nnscratch as nn

TEXT = "the cat sat on the mat. " * 40
TOKENIZER = nn.data.CharTokenizer.from_text(TEXT)
BATCHES = nn.data.TextBatches(TOKENIZER.encode(TEXT), batch_size=4, seq_len=12)


def make(context=12, **more):
    return nn.models.TransformerLM(len(TOKENIZER), 16, 2, 2, context, rng=0, **more)


def trainer_of(model):
    return nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.01), max_norm=5.0)


FORMS = [
    {}, {"tie_weights": True}, {"norm_first": False}, {"bias": False, "activation": "gelu"},
    {"positions": "sinusoidal"},
    {"norm_first": False, "positions": "sinusoidal", "bias": False, "tie_weights": True, "layer_norm_eps": 0.1},
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_gradient_is_the_numerical_one(form):
    model = nn.models.TransformerLM(5, 4, 2, 2, 6, **form, rng=1).to(dtype=np.float64)
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.data[...] += 0.3 * rng.normal(size=p.shape)
    tokens, targets = rng.integers(0, 5, (2, 2, 4))
    model.loss_and_backward(tokens, targets)
    gradients = {name: p.grad.copy() for name, p in model.named_parameters()}
    criterion = nn.CrossEntropyLoss()
    for name, p in model.named_parameters():
        assert_gradient(lambda: criterion(model(tokens)[0], targets), p.data, gradients[name], name)


@pytest.mark.parametrize("tie", [False, True])
def test_the_short_cut_is_forward_loss_and_backward(tie):
    one, other = make(tie_weights=tie).to(dtype=np.float64), make(tie_weights=tie).to(dtype=np.float64)
    tokens, targets = BATCHES[0]
    criterion = nn.CrossEntropyLoss()
    logits, _ = one(tokens)
    loss = criterion(logits, targets)
    one.backward(criterion.backward())
    assert other.loss_and_backward(tokens, targets)[0] == pytest.approx(loss, abs=1e-12)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad, atol=1e-12)


def test_no_logit_depends_on_a_later_token():
    model, tokens = make().to(dtype=np.float64), BATCHES[0][0]
    changed = tokens.copy()
    changed[:, 7] = (changed[:, 7] + 1) % len(TOKENIZER)
    one, other = model(tokens)[0], model(changed)[0]
    assert np.array_equal(one[:, :7], other[:, :7]) and not np.allclose(one[:, 7:], other[:, 7:])


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_read_on_token_by_token_equals_all_at_once_while_the_window_has_room(form):
    model, tokens = make(**form).to(dtype=np.float64).eval(), BATCHES[0][0]
    whole, _ = model(tokens)
    parts, state = [], None
    for t in range(tokens.shape[1]):
        logits, state = model(tokens[:, t : t + 1], state)
        parts.append(logits)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-12)
    model.train()
    np.testing.assert_allclose(model(tokens)[0], whole, atol=1e-12)


def test_past_the_window_a_token_is_predicted_from_the_newer_half_and_what_followed():
    model, context = make(context=8).to(dtype=np.float64).eval(), 8
    tokens = np.random.default_rng(0).integers(0, len(TOKENIZER), (2, 30))
    state, held = None, []
    for t in range(30):
        logits, state = model(tokens[:, t : t + 1], state)
        held.append(state[0].shape[1])
        np.testing.assert_allclose(logits[:, -1], model(tokens[:, t + 1 - held[-1] : t + 1])[0][:, -1], atol=1e-12)
    assert held == [*range(1, 9), *([5, 6, 7, 8] * 6)][:30]
    assert max(k.shape[2] for k, _ in state[1:]) <= context
    np.testing.assert_allclose(model(tokens)[0][:, -1], logits[:, -1], atol=1e-12)  # the same in one call


def test_one_state_can_be_continued_twice():
    model = make(context=8).to(dtype=np.float64).eval()
    tokens = np.random.default_rng(0).integers(0, len(TOKENIZER), (2, 12))
    _, state = model(tokens[:, :3])
    one, other = tokens[:, 3:7], tokens[:, 8:12]
    _, after_one = model(one[:, :2], state)
    logits_of_other, _ = model(other, state)  # the same state again
    logits_of_one, _ = model(one[:, 2:], after_one)
    for continued, logits, text in ((one, logits_of_one, one[:, 2:]), (other, logits_of_other, other)):
        whole, _ = model(np.concatenate([tokens[:, :3], continued], axis=1))
        np.testing.assert_allclose(logits, whole[:, -text.shape[1] :], atol=1e-12)


def test_a_token_is_written_into_the_room_of_the_state_and_nothing_is_copied():
    model = make(context=8).eval()
    tokens = np.random.default_rng(0).integers(0, len(TOKENIZER), (2, 12))
    _, first = model(tokens[:, :3])
    state = first
    for t in range(3, 8):
        _, state = model(tokens[:, t : t + 1], state)
    for (k, v), (k_first, v_first) in zip(state[1:], first[1:], strict=True):
        assert k.shape[2] == v.shape[2] == 8 and k_first.shape[2] == 3
        assert np.shares_memory(k, k_first) and np.shares_memory(v, v_first)


def test_in_training_nothing_is_carried_from_batch_to_batch():
    model, tokens = make().to(dtype=np.float64), BATCHES[0][0]
    logits, state = model(tokens, model.init_hidden(4))
    assert state == ()
    _, window = model.eval()(tokens)
    np.testing.assert_array_equal(model.train()(tokens, window)[0], logits)


@pytest.mark.parametrize("tie", [False, True])
def test_it_learns_writes_and_survives_a_file(tie, tmp_path):
    model = make(tie_weights=tie, dropout=0.1)
    before = nn.evaluate(model, nn.CrossEntropyLoss(), BATCHES)
    trainer_of(model).fit(BATCHES, steps=80)
    after = nn.evaluate(model, nn.CrossEntropyLoss(), BATCHES)
    assert after < 0.5 * before
    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    texts = [nn.generate(m, TOKENIZER, "the cat sat on the mat. the ", 30, rng=0) for m in (model, loaded)]
    assert texts[0] == texts[1] and len(texts[0]) == 58
    assert not any(m.__dict__.get("_stack") for m in loaded.modules())


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_survives_a_file(form, tmp_path):
    model = make(**form)
    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    assert loaded.config() == model.config()
    np.testing.assert_array_equal(loaded(BATCHES[0][0])[0], model(BATCHES[0][0])[0])


def test_the_switches_are_said_by_name_when_they_are_wrong():
    with pytest.raises(ValueError, match="positions must be one of 'learned', 'sinusoidal', got 'rotary'"):
        make(positions="rotary")
    with pytest.raises(ValueError, match="activation must be one of 'relu', 'gelu', 'gelu_tanh', got 'swish'"):
        make(activation="swish")


def test_a_checkpoint_goes_on_bit_for_bit():
    whole, first = trainer_of(make(dropout=0.2)), trainer_of(make(dropout=0.2))
    whole.fit(BATCHES, steps=6)
    first.fit(BATCHES, steps=3)
    arrays, header = first.state_dict()
    second = trainer_of(make(dropout=0.2))
    second.load_state_dict({name: a.copy() for name, a in arrays.items()}, header)
    second.fit(BATCHES, steps=6)
    assert second.history.loss == whole.history.loss


def test_dropout_has_the_four_places_of_gpt2():
    model = make(dropout=0.1, embedding_dropout=0.2, attention_dropout=0.3, hidden_dropout=0.0)
    block = model.blocks[1]
    assert (model.dropout_in.p, block.self_attn.dropout, block.dropout_hidden.p) == (0.2, 0.3, 0.0)
    assert block.dropout1.p == block.dropout2.p == 0.1
    block = make(dropout=0.1).blocks[0]
    assert {make(dropout=0.1).dropout_in.p, block.self_attn.dropout, block.dropout_hidden.p, block.dropout1.p} == {0.1}
    with pytest.raises(ValueError, match=r"attention_dropout must be a probability in \[0, 1\), got 1"):
        make(attention_dropout=1)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="context must be 2 or more"):
        make(context=1)
    with pytest.raises(ValueError, match="num_heads must divide embed_dim"):
        nn.models.TransformerLM(5, 6, 4, 1, 8)
    model = make(context=8)
    with pytest.raises(ValueError, match="trains on sequences of at most context=8 tokens, got 12"):
        model(BATCHES[0][0])
    with pytest.raises(ValueError, match=r"needs tokens of shape \(batch, time\), got \(4,\)"):
        model(BATCHES[0][0][:, 0])
    model.eval()
    _, state = model(BATCHES[0][0])
    with pytest.raises(ValueError, match="state has 4 sequences, but tokens has 2"):
        model(BATCHES[0][0][:2], state)
    for bad, message in [
        (state[0], "state must be a tuple of 3 items, as an earlier call returned it, got ndarray"),
        (state[:2], "state must be a tuple of 3 items, as an earlier call returned it, got 2 items"),
        ((state[1][0], *state[1:]), r"state\[0\] must be integers, got float32"),
    ]:
        with pytest.raises(TypeError, match=message):
            model(BATCHES[0][0], bad)

"""LanguageModel with each type of recurrent layer: training, files and parameter names."""

import numpy as np
import pytest

import nnscratch as nn

CELLS = ["rnn", "gru", "lstm"]
TEXT = "the cat sat on the mat. " * 40
TOKENIZER = nn.data.CharTokenizer.from_text(TEXT)
BATCHES = nn.data.TextBatches(TOKENIZER.encode(TEXT), batch_size=4, seq_len=12)


def make(cell, **more):
    return nn.models.LanguageModel(len(TOKENIZER), 8, 16, 2, cell=cell, rng=0, **more)


def trainer_of(model):
    return nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.01), max_norm=5.0)


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns_writes_and_survives_a_file(cell, tmp_path):
    model = make(cell)
    before = nn.evaluate(model, nn.CrossEntropyLoss(), BATCHES)
    trainer_of(model).fit(BATCHES, steps=60)
    after = nn.evaluate(model, nn.CrossEntropyLoss(), BATCHES)
    assert after < 0.6 * before
    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    assert loaded.cell == cell
    texts = [nn.generate(m, TOKENIZER, "the ", 20, rng=0) for m in (model, loaded)]
    assert texts[0] == texts[1] and len(texts[0]) == 24


@pytest.mark.parametrize("cell", CELLS)
def test_the_names_in_the_state_dict_are_embedding_the_cell_and_linear(cell):
    assert {name.split(".")[0] for name in make(cell).state_dict()} == {"embedding", cell, "linear"}


@pytest.mark.parametrize("cell", CELLS)
def test_a_checkpoint_goes_on_bit_for_bit(cell):
    whole, first = trainer_of(make(cell)), trainer_of(make(cell))
    whole.fit(BATCHES, steps=6)
    first.fit(BATCHES, steps=3)
    arrays, header = first.state_dict()
    second = trainer_of(make(cell))
    second.load_state_dict({name: a.copy() for name, a in arrays.items()}, header)
    second.fit(BATCHES, steps=6)
    assert second.history.loss == whole.history.loss


@pytest.mark.parametrize("cell", CELLS)
def test_the_short_cut_is_forward_loss_and_backward(cell):
    one, other = make(cell).to(dtype=np.float64), make(cell).to(dtype=np.float64)
    tokens, targets = BATCHES[0]
    criterion = nn.CrossEntropyLoss()
    logits, _ = one(tokens, one.init_hidden(4))
    loss = criterion(logits, targets)
    one.backward(criterion.backward())
    assert other.loss_and_backward(tokens, targets)[0] == pytest.approx(loss, abs=1e-12)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad, atol=1e-12)


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="cell must be one of 'rnn', 'gru', 'lstm', got 'conv'"):
        make("conv")


def test_a_cell_that_no_dictionary_can_look_up_is_refused_by_name():
    with pytest.raises(ValueError, match=r"cell must be one of 'rnn', 'gru', 'lstm', got \['lstm'\]"):
        nn.models.LanguageModel(5, 4, 4, cell=["lstm"])
    with pytest.raises(ValueError, match="nonlinearity must be"):
        nn.RNN(3, 4, nonlinearity=["tanh"])

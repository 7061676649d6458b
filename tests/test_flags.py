"""A flag is True or False. A generator, a seed or the text "False" in its place is refused: it would count as True."""

import numpy as np
import pytest

import nnscratch as nn

X, Y = np.zeros((4, 2)), np.zeros(4, dtype=int)

MAKE = {
    "Linear(bias)": lambda value: nn.Linear(3, 2, value),
    "Conv1d(bias)": lambda value: nn.Conv1d(1, 1, 1, bias=value),
    "Conv2d(bias)": lambda value: nn.Conv2d(1, 1, 1, bias=value),
    "LayerNorm(bias)": lambda value: nn.LayerNorm(2, bias=value),
    "MultiheadAttention(bias)": lambda value: nn.MultiheadAttention(4, 2, bias=value),
    "MultiheadAttention(causal)": lambda value: nn.MultiheadAttention(4, 2, causal=value),
    "TransformerBlock(causal)": lambda value: nn.TransformerBlock(4, 2, causal=value),
    "TransformerBlock(norm_first)": lambda value: nn.TransformerBlock(4, 2, norm_first=value),
    "LSTM(bidirectional)": lambda value: nn.LSTM(2, 2, bidirectional=value),
    "RNN(bidirectional)": lambda value: nn.RNN(2, 2, bidirectional=value),
    "LanguageModel(tie_weights)": lambda value: nn.models.LanguageModel(5, 4, 4, 1, tie_weights=value),
    "TransformerLM(tie_weights)": lambda value: nn.models.TransformerLM(5, 4, 2, 1, context=4, tie_weights=value),
    "SGD(nesterov)": lambda value: nn.optim.SGD([nn.Parameter(np.zeros(2))], 0.1, 0.9, value),
    "RMSprop(centered)": lambda value: nn.optim.RMSprop([nn.Parameter(np.zeros(2))], centered=value),
    "Batches(shuffle)": lambda value: nn.data.Batches(X, Y, 2, value),
    "requires_grad": lambda value: nn.Parameter(np.zeros(2), value),
    "train(mode)": lambda value: nn.Linear(2, 2).train(value),
    "load_state_dict(strict)": lambda value: nn.Linear(2, 2, rng=0).load_state_dict(
        nn.Linear(2, 2, rng=0).state_dict(), value
    ),
}


NO_FLAGS = [np.random.default_rng(0), 7, "False", None, np.zeros(1)]


@pytest.mark.parametrize("value", NO_FLAGS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", MAKE)
def test_a_flag_is_true_or_false(name, value):
    with pytest.raises(TypeError, match="must be True or False, got"):
        MAKE[name](value)


@pytest.mark.parametrize("name", MAKE)
def test_numpys_booleans_are_flags_too(name):
    MAKE[name](np.bool_(True))
    MAKE[name](False)


@pytest.mark.parametrize("wrong", [0, True, -1, 2.5])
def test_evaluate_every_is_a_positive_integer(wrong):
    model = nn.Linear(2, 1, rng=0)
    trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), 0.1))
    batches = [(np.zeros((4, 2), "f"), np.zeros((4, 1), "f"))]
    with pytest.raises(ValueError, match="evaluate_every must be an integer of 1 or more"):
        trainer.fit(batches, valid=batches, epochs=1, evaluate_every=wrong)


def test_ignore_index_is_no_flag():
    with pytest.raises(TypeError, match="ignore_index must be an integer, got True"):
        nn.CrossEntropyLoss(ignore_index=True)

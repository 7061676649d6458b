"""Recording, summaries and plots of a model on "cuda"."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import nnscratch as nn
from nnscratch.training import confusion_matrix


@pytest.fixture
def model(on_cuda):
    return nn.models.LanguageModel(11, 6, 8, 2, rng=1).to("cuda")


@pytest.fixture
def tokens(on_cuda):
    return on_cuda(np.arange(12).reshape(3, 4) % 11)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_recording_and_a_summary(model, tokens, on_cpu):
    with nn.record(model) as seen:
        logits, _ = model(tokens)
    here = nn.models.LanguageModel(11, 6, 8, 2, rng=1)
    with nn.record(here) as expected:
        here(on_cpu(tokens))
    assert seen.keys() == expected.keys()
    assert str(nn.summary(model, tokens)) == str(nn.summary(here, on_cpu(tokens)))


def test_pictures_of_gradients_weights_and_confusion(model, tokens):
    criterion = nn.CrossEntropyLoss()
    logits, _ = model(tokens)
    criterion(logits, tokens)
    model.backward(criterion.backward())
    nn.plotting.plot_gradient_flow(model)
    nn.plotting.plot_histograms(model)
    nn.plotting.plot_confusion_matrix(confusion_matrix(logits, tokens))


def test_pictures_of_filters_gates_attention_and_a_decision_boundary(rng, on_cuda):
    nn.plotting.plot_filters(nn.Conv2d(1, 4, 3, rng=0).to("cuda").weight.data)
    gates = nn.plotting.lstm_gates(nn.LSTM(3, 4, rng=0).to("cuda"), on_cuda(np.ones((5, 3), dtype=np.float32)))
    nn.plotting.plot_gates(gates, list("abcde"))
    attention = nn.MultiheadAttention(8, 2, rng=0).to("cuda")
    weights = attention.weights(on_cuda(np.ones((1, 5, 8), dtype=np.float32)))
    nn.plotting.plot_attention(weights[0, 0], list("abcde"))
    points = rng.random((20, 2)).astype(np.float32)
    nn.plotting.plot_decision_boundary(nn.models.MLP([2, 8, 2], rng=0).to("cuda"), points, np.arange(20) % 2)


def test_animations_and_the_graph_of_a_model(rng, on_cuda):
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1)).to("cuda")
    x = on_cuda(np.ones((1, 2), dtype=np.float32))
    nn.plotting.draw_network(model, x, dy=on_cuda(np.ones((1, 1), dtype=np.float32)))
    nn.plotting.animate_backpropagation(model, x, on_cuda(np.ones(1)))
    nn.plotting.animate_attention(on_cuda(np.full((3, 3), 1 / 3)), list("abc"))
    nn.plotting.animate_convolution(on_cuda(rng.random((4, 4))), on_cuda(rng.random((2, 2))))
    steps = on_cuda(rng.normal(size=(2, 4, 3)).astype(np.float32))
    nn.plotting.animate_gradient_path(lambda value: nn.RNN(3, 4, rng=0).to("cuda"), [0.5, 1.0], steps)
    nn.plotting.plot_attributions(on_cuda(rng.random((4, 4))), on_cuda(rng.normal(size=(4, 4))))

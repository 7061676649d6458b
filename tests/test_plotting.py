"""Every plot draws into the given axes, returns them, labels them, and shows the right data."""

import io

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import plotting

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2)).astype(np.float32)


def trained():
    model = nn.Sequential(nn.Linear(2, 4, rng=0), nn.Tanh(), nn.Linear(4, 3, rng=1))
    y = model(X)
    model.backward(np.ones_like(y))
    return model


def gates():
    lstm = nn.LSTM(3, 6, 2, rng=0)
    return plotting.lstm_gates(lstm, RNG.normal(size=(4, 3)).astype(np.float32), layer=1)


PICTURES = {
    "history": lambda ax: plotting.plot_history(nn.training.History(loss=[3.0, 2.0, 1.5]), ax=ax),
    "history of numbers": lambda ax: plotting.plot_history([3.0, 2.0, 1.5], ax=ax),
    "gradient flow": lambda ax: plotting.plot_gradient_flow(trained(), ax=ax),
    "histograms": lambda ax: plotting.plot_histograms(trained(), ax=ax),
    "decision boundary": lambda ax: plotting.plot_decision_boundary(trained(), X, RNG.integers(0, 3, 30), ax=ax),
    "filters": lambda ax: plotting.plot_filters(RNG.normal(size=(5, 2, 3, 3)), ax=ax),
    "confusion": lambda ax: plotting.plot_confusion_matrix(np.array([[3, 1], [0, 2]]), ax=ax),
    "gates": lambda ax: plotting.plot_gates(gates(), "ab d", ax=ax),
    "attention": lambda ax: plotting.plot_attention(np.eye(3), "a b", ax=ax),
    "attributions": lambda ax: plotting.plot_attributions(np.eye(3), np.arange(-4, 5).reshape(3, 3), ax=ax),
    "contributions": lambda ax: plotting.plot_contributions(["a", "b", "c"], np.array([1, -2, 0.5]), k=2, ax=ax),
    "paths": lambda ax: plotting.plot_paths(
        lambda a, b: a**2 + b**2, {"SGD": RNG.normal(size=(9, 2))}, (-2, 2), (-2, 2), ax=ax
    ),
    "text": lambda ax: plotting.plot_text("some text\nof two lines", np.linspace(-1, 1, 22), ax=ax),
}
WITHOUT_AXES = {"text", "filters", "attributions"}


@pytest.mark.parametrize("name", PICTURES)
def test_it_draws_into_the_axes_given_and_returns_them(name):
    ax = plotting.new_axes()
    assert PICTURES[name](ax) is ax
    ax.figure.savefig(io.BytesIO(), dpi=20)


@pytest.mark.parametrize("name", PICTURES)
def test_without_axes_it_makes_a_figure_with_labelled_axes_and_leaves_pyplot_alone(name):
    ax = PICTURES[name](None)
    ax.figure.savefig(io.BytesIO(), dpi=20)
    if name not in WITHOUT_AXES:
        assert ax.get_xlabel() and ax.get_ylabel() or name in ("gradient flow", "histograms") and ax.get_xlabel()
    import sys

    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_the_gates_are_the_lstms():
    lstm, x = nn.LSTM(3, 6, 2, rng=0), RNG.normal(size=(4, 3)).astype(np.float32)
    y, (h, c) = lstm(x[None])
    seen = plotting.lstm_gates(lstm, x, layer=1)
    np.testing.assert_allclose(seen["h"], y[0], atol=1e-6)
    np.testing.assert_allclose(seen["c"][-1], c[1, 0], atol=1e-6)
    np.testing.assert_allclose(seen["o"] * np.tanh(seen["c"]), seen["h"], atol=1e-6)
    assert lstm.__dict__["_stack"] and ((seen["f"] > 0) & (seen["f"] < 1)).all()


def test_a_confusion_matrixs_cells_hold_the_counts():
    ax = plotting.plot_confusion_matrix(np.array([[3, 1], [0, 2]]), ["cat", "dog"])
    assert sorted(text.get_text() for text in ax.texts) == ["1", "2", "3"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog"]


def test_a_gradient_that_is_zero_is_named():
    model = trained()
    model[0].weight.grad[...] = 0
    assert [text.get_text() for text in plotting.plot_gradient_flow(model).texts] == ["zero"]


def test_a_model_with_one_logit_has_a_boundary_too():
    ax = plotting.plot_decision_boundary(nn.Linear(2, 1, rng=0), X, (X[:, :1] > 0).astype(int))
    assert len(ax.get_legend().get_texts()) == 2


def test_a_gradient_that_is_not_finite_is_named():
    model = trained()
    model[0].weight.grad[0] = np.inf
    with pytest.raises(ValueError, match="the gradient of 0.weight is not finite"):
        plotting.plot_gradient_flow(model)


def test_histograms_are_of_the_finite_numbers_and_say_how_many_are_not():
    ax = plotting.plot_histograms({"good": X, "broken": np.where(X > 1, np.nan, X)})
    ax.figure.savefig(io.BytesIO(), dpi=20)
    assert f"{(X > 1).sum()} not finite" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.plot_history("losses"), "plot_history draws a History"),
        (lambda: plotting.plot_history([[1.0]]), "or a list of losses, not a list"),
        (lambda: plotting.plot_gates([1.0], "a"), "plot_gates needs a LanguageModel or"),
        (lambda: plotting.plot_gates(nn.models.LanguageModel(4, 3, 2), "ab"), r"plot_gates\(model, tokenizer, text\)"),
        (lambda: plotting.plot_gradient_flow([1]), "model must be a Module, got list"),
        (lambda: plotting.plot_histograms("weights"), "a Module or a dict of names and arrays, got str"),
        (lambda: plotting.lstm_gates(nn.GRU(2, 3), X), "needs an LSTM, got GRU"),
        (lambda: plotting.plot_filters(nn.Conv2d(1, 2, 3)), "expected a NumPy or CuPy array, got Conv2d"),
    ],
)
def test_things_of_another_kind_are_refused(draw, message):
    with pytest.raises(TypeError, match=message):
        draw()


@pytest.mark.parametrize("classes", [2, 5, 8])
def test_the_legend_of_a_boundary_fits_into_the_figure_whatever_the_number_of_classes(classes):
    x, y = nn.data.blobs(40, classes=classes, rng=0)
    ax = plotting.plot_decision_boundary(nn.Linear(2, classes, rng=0), x, y)
    ax.figure.canvas.draw()
    legend, figure = ax.get_legend().get_window_extent(), ax.figure.bbox
    assert legend.x1 <= figure.x1 and legend.y1 <= figure.y1


def test_words_of_single_characters_are_not_torn_between_lines():
    ax = plotting.plot_text("aaaa bbbb cccc", np.zeros(14), width=7)
    rows = [round(text.get_position()[1]) for text in ax.texts if text.get_text()]
    assert [sorted(rows).count(r) for r in sorted(set(rows))] == [4, 4, 4]


def test_words_have_gaps_between_them_also_after_a_short_one():
    ax = plotting.plot_text(["It", "is", "a", "truth"], np.zeros(4))
    assert [(patch.get_x(), patch.get_width()) for patch in ax.patches] == [(0, 2), (3, 2), (6, 1), (8, 5)]


def test_contributions_of_a_text_are_white_at_0_red_above_and_blue_below():
    ax = plotting.plot_text("abc", np.array([0.0, 1.0, 0.5]), contributions=True)
    white, red, light_red = (patch.get_facecolor()[:3] for patch in ax.patches)
    assert min(white) > 0.95 and red[0] > red[2] and light_red[0] > light_red[2] and sum(light_red) > sum(red)
    (blue,) = (patch.get_facecolor() for patch in plotting.plot_text("a", np.array([-1.0]), contributions=True).patches)
    assert blue[2] > blue[0]


def test_the_heat_map_is_the_attribution_with_the_same_scale_on_both_sides():
    a = np.array([[0.0, 1.0], [-4.0, 2.0]])
    ax = plotting.plot_attributions(np.eye(2), a)
    heat = ax.images[1]
    np.testing.assert_array_equal(heat.get_array(), a)
    assert heat.get_clim() == (-4, 4) and heat.get_alpha()[0, 0] == 0 and heat.get_alpha()[1, 0] == 1
    channels = plotting.plot_attributions(np.ones((3, 2, 2)), np.stack([a, a, a]))
    np.testing.assert_array_equal(channels.images[1].get_array(), 3 * a)
    assert plotting.plot_attributions(np.zeros((2, 2)), np.zeros((2, 2))).images[1].get_clim() == (-1, 1)


def test_the_bars_are_the_largest_contributions_and_the_sum_of_the_others():
    ax = plotting.plot_contributions(list("abcd"), np.array([1.0, -5.0, 0.5, 3.0]), k=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "d", "2 others"]
    assert [bar.get_width() for bar in ax.patches] == [-5, 3, 1.5]
    assert len(plotting.plot_contributions("ab", np.ones(2)).patches) == 2


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.plot_gradient_flow(nn.Tanh()), "no parameters"),
        (lambda: plotting.plot_attributions(np.eye(2), np.eye(3)), r"same shape, got \(2, 2\) and \(3, 3\)"),
        (lambda: plotting.plot_attributions(np.ones(2), np.ones(2)), r"\(H, W\) or \(C, H, W\)"),
        (lambda: plotting.plot_attributions(np.eye(2), np.full((2, 2), np.nan)), "attributions must be finite"),
        (lambda: plotting.plot_contributions("ab", np.ones(3)), "one value for each of 2 names"),
        (lambda: plotting.plot_contributions("a", np.array([np.inf])), "values must be finite"),
        (lambda: plotting.plot_contributions("a", np.ones(1), k=0), "k must be"),
        (lambda: plotting.plot_histograms({}), "got no values"),
        (lambda: plotting.plot_decision_boundary(trained(), X[:, :1], np.zeros(30)), r"x of shape \(N, 2\)"),
        (lambda: plotting.plot_filters(np.zeros((3, 3))), "out_channels, in_channels, height, width"),
        (lambda: plotting.plot_confusion_matrix(np.zeros((2, 3))), "square matrix"),
        (lambda: plotting.plot_confusion_matrix(np.eye(2), ["a"]), "one name for each of 2 classes, got 1"),
        (lambda: plotting.plot_gates(gates(), "ab d", show="x"), "show must be one of 'i', 'f', 'g', 'o', 'c', 'h'"),
        (lambda: plotting.plot_gates(gates(), "abc"), "one token for each of 4 steps, got 3"),
        (lambda: plotting.lstm_gates(nn.LSTM(3, 4, rng=0), X, layer=1), r"layer must be in 0\.\.0"),
        (lambda: plotting.lstm_gates(nn.LSTM(1, 4, rng=0), X), r"lstm_gates needs x of shape \(T, 1\), one sequence"),
        (lambda: plotting.plot_attention(np.eye(3), "ab"), r"one row for each token .* \(2, 2\), got \(3, 3\)"),
        (lambda: plotting.plot_paths(lambda a, b: a + b, {"x": [1, 2]}, (0, 1), (0, 1)), r"\(steps, 2\)"),
        (lambda: plotting.plot_text("abc", np.zeros(2)), "one value for each of 3 tokens"),
        (lambda: plotting.plot_text("ab", np.array([1, np.nan])), "the value of token 1 is not finite"),
        (lambda: plotting.plot_history(nn.History()), "the history has no steps yet"),
        (lambda: plotting.plot_history(nn.History(loss=[1.0]), unit="x"), "unit must be one of 'loss', 'bpc'"),
        (lambda: plotting.plot_confusion_matrix(np.array([[-1, 0], [0, 5]])), "counts must be 0 or more, got -1"),
        (lambda: plotting.plot_gradient_flow(nn.Linear(2, 2)), "every gradient is zero; call it after backward"),
        (lambda: plotting.plot_histograms({"a": np.array([np.nan])}), "no values except NaN and infinity"),
        (lambda: plotting.plot_decision_boundary(trained(), X, np.full(30, -1)), "labels must be 0 or more, got -1"),
        (lambda: plotting.plot_paths(lambda a, b: a, {}, (0, 1), (0, 1)), "got no paths"),
        (lambda: plotting.plot_paths(lambda a, b: 0 * a, {"x": X}, (0, 1), (0, 1)), "f is constant or not finite"),
        (lambda: plotting.plot_gates(gates(), "ab d", units=0), "units must be an integer of 1 or more, got 0"),
    ],
)
def test_bad_input_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


@pytest.mark.parametrize("name", ["history", "histograms"])
def test_lines_that_mean_one_thing_stay_solid_under_the_style_that_changes_line_and_colour_together(name):
    import matplotlib

    with matplotlib.rc_context():
        plotting.use_style()
        lines = PICTURES[name](plotting.new_axes()).lines
    assert {line.get_linestyle() for line in lines} == {"-"}


def test_the_axis_of_a_loss_claims_no_unit_that_only_a_cross_entropy_has():
    assert PICTURES["history"](None).get_ylabel() == "loss, mean over the targets"


def test_the_gates_of_a_model_are_those_of_its_lstm_on_the_embedded_text():
    tokenizer = nn.data.CharTokenizer.from_text("abc ")
    model = nn.models.LanguageModel(len(tokenizer), 4, 8, num_layers=2, dropout=0.5, rng=0)
    x = model.embedding.eval()(tokenizer.encode("ab cab"))
    model.train()
    expected = plotting.plot_gates(plotting.lstm_gates(model.lstm, x, layer=1), list("ab cab"))
    ax = plotting.plot_gates(model, tokenizer, "ab cab", layer=1)
    np.testing.assert_array_equal(ax.images[0].get_array(), expected.images[0].get_array())
    assert [str(label) for label in ax.get_xticklabels()] == [str(label) for label in expected.get_xticklabels()]
    assert model.training

"""Animations show the right numbers, work in a page without a kernel, and can be saved. The graph of a model."""

import base64
import io
import re

import matplotlib
import numpy as np
import pytest

import nnscratch as nn
from nnscratch import plotting
from nnscratch.plotting.animate_descent import descent
from nnscratch.plotting.animate_gradient_path import gradient_sizes
from nnscratch.plotting.network import graph_of

RNG = np.random.default_rng(0)


def two(labels=("a", "b"), **settings):
    return plotting.Animation(lambda figure, k: figure.add_subplot().plot([0, k]), labels, size=(2, 1), **settings)


def texts(figure):
    return {t.get_text() for ax in figure.axes for t in ax.texts} - {""}


def test_the_html_needs_no_kernel_and_no_other_file_and_shows_a_picture_without_scripts():
    html = two(alt='a "line" <b>').html()
    still = re.search(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]*)"', html)
    assert still.group(2) == "a &quot;line&quot; &lt;b&gt;"
    assert html.count(still.group(1)) == 2  # the still picture is the last frame
    assert "http" not in html and html.count("<script>") == 1


def test_a_program_that_shows_pictures_but_no_html_gets_the_last_picture():
    animation = two()
    assert base64.b64decode(animation._repr_png_()) == animation.png(-1)


def test_a_label_cannot_end_the_script():
    assert two(["</script><b>", "b"]).html().count("</script>") == 1


def test_the_same_animation_gives_the_same_html():
    assert two().html() == two().html()


@pytest.mark.parametrize("end, start", [(".gif", b"GIF8"), (".html", b"<!doctype html>")])
def test_saving_writes_the_format_of_the_name(tmp_path, end, start):
    two().save(tmp_path / f"x{end}")
    assert (tmp_path / f"x{end}").read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [f"x{end}"]


def test_a_gif_has_all_pictures(tmp_path):
    from PIL import Image

    two(["a", "b", "c"]).save(tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.n_frames == 3


def test_an_unknown_format_leaves_no_file(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"\.gif, \.html or \.mp4, got 'x\.png'"):
        two().save(tmp_path / "x.png")
    monkeypatch.setattr("matplotlib.animation.FFMpegWriter.isAvailable", classmethod(lambda cls: False))
    with pytest.raises(ValueError, match="ffmpeg"):
        two().save(tmp_path / "x.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "settings, message", [({"labels": []}, "labels"), ({"fps": 0}, "fps"), ({"fps": np.nan}, "fps")]
)
def test_an_animation_of_nothing_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        two(**settings)


def test_backpropagation_shows_the_models_own_numbers():
    model = nn.Sequential(nn.Linear(1, 2, rng=0), nn.Sigmoid(), nn.Linear(2, 1, rng=1)).to(dtype=np.float64)
    model[0].weight.grad[...] = 7.0
    animation = plotting.animate_backpropagation(model, np.array([0.5]), np.array([1.0]))
    assert (model[0].weight.grad == 7.0).all()
    model.zero_grad()
    criterion = nn.MSELoss()
    criterion(model(np.array([[0.5]])), np.array([[1.0]]))
    dx = model.backward(criterion.backward())
    first, last = texts(animation.figure(0)), texts(animation.figure(-1))
    assert f"{dx[0, 0]:.2g}" in last and f"{dx[0, 0]:.2g}" not in first
    assert {f"{g:.2g}" for p in (model[0].weight, model[2].weight) for g in p.grad.ravel()} <= last
    assert "0.5" in first


def test_backpropagation_refuses_wide_layers_and_images():
    with pytest.raises(ValueError, match="output of Linear must be a row of at most 6"):
        plotting.animate_backpropagation(nn.Sequential(nn.Linear(1, 7, rng=0)), np.ones(1), np.ones(7))


def test_descent_makes_the_steps_of_sgd():
    w = nn.Parameter(np.array([1.5]))
    optimizer, path = nn.optim.SGD([w], lr=0.3), [1.5]
    for _ in range(5):
        w.grad[...] = 2 * w.data
        optimizer.step()
        path.append(float(w.data[0]))
    np.testing.assert_allclose(descent(lambda v: 2 * v, 1.5, 0.3, 5), path)
    assert np.isfinite(descent(lambda v: v**3, 1.5, 10.0, 50)).all()


def test_a_convolutions_pixels_are_those_of_conv2d():
    image, kernel = RNG.normal(size=(5, 4)), RNG.normal(size=(2, 3))
    animation = plotting.animate_convolution(image, kernel, stride=2, padding=1)
    padded = np.pad(image, 1)
    want = [(padded[u : u + 2, v : v + 3] * kernel).sum() for u in (0, 2, 4) for v in (0, 2)]
    assert [float(label.split("= ")[1]) for label in animation.labels] == [float(f"{w:.3g}") for w in want]
    animation.figure(3)
    with pytest.raises(ValueError, match="at most 64"):
        plotting.animate_convolution(np.ones((10, 10)), np.ones((2, 2)))


def test_lines_that_stand_for_the_same_thing_have_the_same_style():
    model = nn.Sequential(nn.Linear(1, 3, rng=0), nn.Linear(3, 1, rng=1))
    x = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    with matplotlib.rc_context():
        plotting.use_style()  # gives each further line of a plot another style
        for animation in (
            plotting.animate_backpropagation(model, np.ones(1), np.ones(1)),
            plotting.animate_gradient_path(lambda bias: nn.RNN(3, 4, rng=bias), [0, 1, 2], x),
            plotting.animate_attention(np.full((3, 3), 1 / 3), ["a", "b", "c"]),
        ):
            assert {line.get_linestyle() for line in animation.figure(0).axes[0].lines} <= {"-", "None"}


def test_the_gradient_path_is_that_of_the_unrolled_cell():
    x, lstm = RNG.normal(size=(2, 6, 3)), nn.LSTM(3, 4, rng=0).to(dtype=np.float64)
    cells = nn.Unrolled([nn.LSTMCell(3, 4, rng=0).to(dtype=np.float64)])
    np.testing.assert_allclose(gradient_sizes(lstm, x), gradient_sizes(cells, x), rtol=1e-10)
    plotting.animate_gradient_path(lambda bias: lstm, [0, 1], x, "bias").figure(1)


def test_attention_shows_the_weights_of_one_token():
    A = np.array([[1.0, 0.0], [0.25, 0.75]])
    animation = plotting.animate_attention(A, ["the", "cat"])
    assert {"0.25", "0.75"} <= texts(animation.figure(1)) and "1.00" in texts(animation.figure(0))
    with pytest.raises(ValueError, match="one row for each token"):
        plotting.animate_attention(A, ["the"])


def test_attention_draws_no_line_for_a_weight_of_almost_zero():
    (ax,) = plotting.animate_attention(np.array([[1.0, 1e-9]]), ["the"], ["the", "cat"]).figure(0).axes
    assert len(ax.lines) == 1


def test_a_gradient_check_marks_the_wrong_elements():
    def backward(dy, x):
        dx = 3 * dy * x**2
        dx[1] *= 2
        return dx

    entry = nn.gradcheck.check_gradients((lambda x: x**3, backward), np.array([1.0, 2.0, 3.0]))["x"]
    assert entry.animate().labels == ["[0]: right", "[1]: wrong", "[2]: right"]
    entry.animate().figure(2)
    lost = nn.gradcheck.check_gradients((lambda x: x**3, lambda dy, x: np.ones(7)), np.ones(3))["x"]
    with pytest.raises(ValueError, match="no element of x was compared"):
        lost.animate()


def test_the_graph_of_a_transformer_block_has_both_residual_connections():
    block, x = nn.TransformerBlock(8, 2, rng=0), RNG.normal(size=(2, 3, 8)).astype(np.float32)
    nodes = graph_of(block, (x,), np.ones_like(x))
    names = [node.text for node in nodes]
    first, second = (k for k, name in enumerate(names) if name == "+")
    assert (
        names[0] == "input" and nodes[first].sources == [0, first - 1] and nodes[second].sources == [first, second - 1]
    )
    assert "?" not in names and names.count("LayerNorm") == 2
    assert all(node.gradient is not None for node in nodes if node.text[0].isupper())
    assert not any(p.grad.any() for p in block.parameters())


def test_a_layer_that_is_called_twice_has_two_boxes_with_their_own_gradients():
    class Twice(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(3, 3, rng=0)

        def forward(self, x):
            return self.layer(self.layer(x))

        def backward(self, dy):
            return self.layer.backward(self.layer.backward(dy))

    model, x = Twice(), RNG.normal(size=(2, 3)).astype(np.float32)
    _, first, second = graph_of(model, (x,), np.ones_like(x))
    assert first.sources == [0] and second.sources == [1]
    np.testing.assert_array_equal(second.gradient, np.ones_like(x))
    np.testing.assert_allclose(first.gradient, np.ones_like(x) @ model.layer.weight.data, rtol=1e-6)


def test_a_product_gets_a_box():
    class Gate(nn.Module):
        def __init__(self):
            self.value, self.gate = nn.Linear(3, 3, rng=0), nn.Sigmoid()

        def forward(self, x):
            return self.value(x) * self.gate(x)

    nodes = graph_of(Gate(), (RNG.normal(size=(2, 3)).astype(np.float32),))
    assert [node.text for node in nodes] == ["input", "Linear", "Sigmoid", "*"] and nodes[3].sources == [1, 2]


def test_an_array_of_unknown_origin_gets_a_box():
    class Gate(nn.Module):
        def __init__(self):
            self.value, self.gate, self.last = nn.Linear(3, 3, rng=0), nn.Sigmoid(), nn.Tanh()

        def forward(self, x):
            return self.last(np.flip(self.value(x) * self.gate(x)))

    nodes = graph_of(Gate(), (RNG.normal(size=(2, 3)).astype(np.float32),))
    assert [node.text for node in nodes] == ["input", "Linear", "Sigmoid", "?", "Tanh"]


@pytest.mark.parametrize("model, x", [
    (nn.models.LanguageModel(10, 4, 8, rng=0), np.array([[1, 2, 3]])),
    (nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.ReLU(), nn.Flatten()), np.ones((2, 1, 5, 5), dtype=np.float32)),
])  # fmt: skip
def test_a_network_is_drawn_into_the_axes_given(model, x):
    ax = plotting.new_axes()
    assert plotting.draw_network(model, x, ax=ax) is ax
    ax.figure.savefig(io.BytesIO())
    assert len(ax.texts) >= 4

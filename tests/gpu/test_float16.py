"""float16: every layer and loss computes in it, on both devices. The expected values are those of float64."""

import numpy as np
import pytest
import strict_cupy
from cases import LAYERS, LOSSES

import nnscratch as nn
from nnscratch import backend

TOLERANCE = 0.02  # float16 has 11 bits, so one rounding is an error of up to 0.0005; a decoder block has dozens


@pytest.fixture(autouse=True)
def compiler(on_cuda):
    if backend.module_for("cuda") is strict_cupy.CUPY and not strict_cupy.computes_float16():
        pytest.skip("the C compiler that runs the kernels here has no float16")


def leaves(nest):
    return [leaf for inner in nest for leaf in leaves(inner)] if isinstance(nest, tuple) else [nest]


def like(nest, make):
    return tuple(like(inner, make) for inner in nest) if isinstance(nest, tuple) else make(nest)


def cast(nest, dtype):
    return like(nest, lambda a: a.astype(dtype) if a.dtype.kind == "f" else a)


def step(layer, inputs, dy):
    y = layer(*inputs)
    dx = layer.backward(*dy) if isinstance(dy, tuple) else layer.backward(dy)
    return y, dx, tuple(p.grad for p in layer.parameters())


def assert_close(ours, expected):
    for a, b in zip(leaves(ours), leaves(expected), strict=True):
        if b is not None:
            assert a.dtype == np.float16
            np.testing.assert_allclose(a.astype(np.float64), b, atol=TOLERANCE * (1 + np.abs(b).max()))


@pytest.mark.parametrize("case", [cases[0] for cases in LAYERS.values()], ids=repr)
def test_a_layer_in_float16_gives_what_it_gives_in_float64(case, rng, on_cuda, on_cpu):
    inputs = case.inputs(rng)
    dy = like(case.build().to(dtype=np.float64)(*inputs), lambda a: rng.normal(size=a.shape))
    expected = step(case.build().to(dtype=np.float64), inputs, dy)
    small = cast(inputs, np.float16), cast(dy, np.float16)
    assert_close(step(case.build().to(dtype=np.float16), *small), expected)
    assert_close(on_cpu(step(case.build().to("cuda", dtype=np.float16), *map(on_cuda, small))), expected)


@pytest.mark.parametrize("case", [case for cases in LOSSES.values() for case in cases], ids=repr)
def test_a_loss_in_float16_gives_what_it_gives_in_float64(case, rng, on_cuda, on_cpu):
    inputs = case.inputs(rng)
    criterion = case.build()
    loss, expected = criterion(*inputs), criterion.backward()
    small = cast(inputs, np.float16)
    for move, back in ((lambda nest: nest, lambda nest: nest), (on_cuda, on_cpu)):
        assert criterion(*move(small)) == pytest.approx(loss, rel=TOLERANCE)
        assert_close(back(criterion.backward()), expected)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: nn.LayerNorm(64), (3, 64)),
        (lambda: nn.RMSNorm(64), (3, 64)),
        (lambda: nn.GroupNorm(2, 64), (3, 64)),
    ],
    ids=["LayerNorm", "RMSNorm", "GroupNorm"],
)
def test_the_squares_of_large_activations_do_not_overflow(build, shape, rng, on_cuda, on_cpu):
    x = (1000 * rng.normal(size=shape)).astype(np.float16)
    dy = rng.normal(size=shape).astype(np.float16)
    expected = step(build().to(dtype=np.float64), (x.astype(np.float64),), dy.astype(np.float64))
    assert_close(step(build().to(dtype=np.float16), (x,), dy), expected)
    assert_close(on_cpu(step(build().to("cuda", dtype=np.float16), (on_cuda(x),), on_cuda(dy))), expected)


def test_a_norm_whose_square_is_too_large_for_float16_is_finite(on_cuda):
    for move in (lambda a: a, on_cuda):
        parameters = [nn.Parameter(move(np.zeros(shape, dtype=np.float16))) for shape in ((4,), (2, 3))]
        for p in parameters:
            p.grad[...] = 300
        assert nn.optim.clip_grad_norm_(parameters, 10.0) == pytest.approx(300 * 10**0.5)
        norm = sum(backend.to_floats(backend.sums_of_squares([p.grad for p in parameters]))) ** 0.5
        assert norm == pytest.approx(10, rel=1e-3)


def test_training_in_float16_waits_for_each_step_and_follows_float32(rng, on_cuda):
    batch = rng.normal(size=(8, 5)), rng.normal(size=(8, 3))
    losses = []
    for dtype, device in ((np.float32, "cpu"), (np.float16, "cpu"), (np.float16, "cuda")):
        model = nn.models.MLP([5, 6, 3], rng=1).to(device, dtype=dtype)
        trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), max_norm=1.0)
        losses.append(trainer.fit([tuple(a.astype(dtype) for a in batch)], steps=10).loss)
    for ours in losses[1:]:
        np.testing.assert_allclose(ours, losses[0], rtol=TOLERANCE)


@pytest.mark.parametrize("build", [nn.models.LanguageModel, nn.models.TransformerLM], ids=lambda cls: cls.__name__)
def test_a_language_model_is_evaluated_in_float16(build, on_cuda):
    model = build(11, 8, 8, rng=1) if build is nn.models.LanguageModel else build(11, 8, 2, 2, 16, rng=1)
    text = nn.data.TextBatches(np.arange(200) % 11, batch_size=4, seq_len=9)
    expected = nn.evaluate(model, nn.CrossEntropyLoss(), text)
    for device in ("cpu", "cuda"):
        loss = nn.evaluate(model.to(device, dtype=np.float16), nn.CrossEntropyLoss(), text)
        assert loss == pytest.approx(expected, rel=TOLERANCE)

"""Every public layer, loss and optimiser gives the same results on "cuda" as on the CPU.

The cases are in tests/shared/cases.py.
"""

import numpy as np
import pytest
from cases import LAYERS, LOSSES, OPTIMIZERS

import nnscratch as nn

TOLERANCE = {np.float64: 1e-10, np.float32: 1e-4}
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def leaves(nest):
    """Yield every leaf of nested tuples."""
    return [leaf for inner in nest for leaf in leaves(inner)] if isinstance(nest, tuple) else [nest]


def like(nest, make):
    """Return the same nested tuples with `make(leaf)` for each leaf."""
    return tuple(like(inner, make) for inner in nest) if isinstance(nest, tuple) else make(nest)


def cast(nest, dtype):
    return like(nest, lambda a: a.astype(dtype) if a.dtype.kind == "f" else a)


def assert_same(ours, theirs, dtype):
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        if a is None:
            assert b is None
            continue
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * max(1, np.abs(b).max()))


def run(layer, inputs, dy):
    """Return outputs and input gradients of one step in training mode, and the outputs in eval() mode."""
    y = layer(*inputs)
    dx = layer.backward(*dy) if isinstance(dy, tuple) else layer.backward(dy)
    return y, dx, layer.eval()(*inputs)


@every_dtype
@pytest.mark.parametrize("case", [case for cases in LAYERS.values() for case in cases], ids=repr)
def test_a_layer_gives_on_cuda_what_it_gives_on_the_cpu(case, dtype, rng, on_cuda, on_cpu):
    inputs = cast(case.inputs(rng), dtype)
    here, there = case.build().to(dtype=dtype), case.build().to("cuda", dtype=dtype)
    dy = like(case.build().to(dtype=dtype)(*inputs), lambda a: rng.normal(size=a.shape).astype(dtype))
    expected = run(here, inputs, dy)
    assert_same(on_cpu(run(there, on_cuda(inputs), on_cuda(dy))), expected, dtype)
    for (name, p), q in zip(here.named_parameters(), there.parameters(), strict=True):
        assert q.device == "cuda", name
        assert_same(on_cpu(q.grad), p.grad, dtype)
    for name, array in there.state_dict().items():
        assert_same(on_cpu(array), here.state_dict()[name], dtype)


@every_dtype
@pytest.mark.parametrize("case", [case for cases in LOSSES.values() for case in cases], ids=repr)
def test_a_loss_gives_on_cuda_what_it_gives_on_the_cpu(case, dtype, rng, on_cuda, on_cpu):
    prediction, target = cast(case.inputs(rng), dtype)
    here, there = case.build(), case.build()
    loss = here(prediction, target)
    assert there(*on_cuda((prediction, target))) == pytest.approx(loss, rel=TOLERANCE[dtype])
    assert_same(on_cpu(there.backward()), here.backward(), dtype)


@every_dtype
@pytest.mark.parametrize(
    ("cls", "settings"), [(cls, s) for cls, several in OPTIMIZERS.items() for s in several], ids=lambda v: str(v)
)
def test_an_optimizer_gives_on_cuda_what_it_gives_on_the_cpu(cls, settings, dtype, rng, on_cuda, on_cpu):
    starts = [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (5,))]
    here = [nn.Parameter(a.copy()) for a in starts]
    there = [nn.Parameter(on_cuda(a)) for a in starts]
    one, other = cls(here, **settings), cls(there, **settings)
    for _ in range(5):
        for p, q in zip(here, there, strict=True):
            p.grad[...] = rng.normal(size=p.shape)
            q.grad[...] = on_cuda(p.grad)
        norms = [nn.optim.clip_grad_norm_(parameters, 1.5) for parameters in (here, there)]
        assert norms[1] == pytest.approx(norms[0], rel=TOLERANCE[dtype])
        one.step()
        other.step()
    for p, q in zip(here, there, strict=True):
        assert_same(on_cpu(q.data), p.data, dtype)
    for name in one.moments:
        for a, b in zip(one.state[name], other.state[name], strict=True):
            assert_same(on_cpu(b), a, dtype)

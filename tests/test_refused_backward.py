"""A wrong gradient is refused, and uses up no forward: backward with the right gradient then gives the right result.

Each layer of tests/shared/cases.py and each model is tested. If backward takes several gradients, one of them at a time
is wrong.
"""

import inspect
from collections.abc import Callable

import numpy as np
import pytest
from cases import LAYERS

import nnscratch as nn

X, IDS = np.random.default_rng(0).normal(size=(3, 4)), np.array([[1, 2, 3], [3, 0, 1]])


def encoder():
    return nn.models.TransformerEncoder(6, 4, 2, 1, 8, rng=0)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple]] = {
    "MLP": (lambda: nn.models.MLP([4, 5, 2], rng=0), (X,)),
    "CNN": (lambda: nn.models.CNN((1, 4, 4), 2, (3,), 4, rng=0), (np.ones((2, 4, 4)),)),
    "TwoHeaded": (
        lambda: nn.models.TwoHeaded(nn.Linear(4, 3, rng=0), nn.Linear(3, 2, rng=1), nn.Linear(3, 1, rng=2)),
        (X,),
    ),
    "LanguageModel": (lambda: nn.models.LanguageModel(6, 4, 5, 2, 0.1, rng=0), (IDS,)),
    "LanguageModel, GRU": (lambda: nn.models.LanguageModel(6, 4, 5, cell="gru", rng=0), (IDS,)),
    "TransformerLM": (lambda: nn.models.TransformerLM(6, 4, 2, 2, 8, 0.1, rng=0), (IDS,)),
    "TransformerEncoder": (encoder, (IDS,)),
    "MaskedLM": (lambda: nn.models.MaskedLM(encoder(), rng=0), (IDS,)),
    "TextClassifier": (lambda: nn.models.TextClassifier(encoder(), 3, rng=0), (IDS,)),
    "Seq2Seq, state": (lambda: nn.models.Seq2Seq(6, 6, 4, 5, connection="state", rng=0), (IDS, IDS)),
    "Seq2Seq, peek": (lambda: nn.models.Seq2Seq(6, 6, 4, 5, connection="peek", rng=0), (IDS, IDS)),
    "Seq2Seq, attention": (lambda: nn.models.Seq2Seq(6, 6, 4, 5, connection="attention", rng=0), (IDS, IDS)),
    "TransformerSeq2Seq": (lambda: nn.models.TransformerSeq2Seq(6, 6, 4, 2, 1, 8, rng=0), (IDS, IDS)),
    "WordVectors": (lambda: nn.models.WordVectors(6, 4, rng=0), (IDS, IDS)),
}
CASES = [
    *((repr(case), case.build, case.inputs(np.random.default_rng(0))) for cases in LAYERS.values() for case in cases),
    *((name, build, inputs) for name, (build, inputs) in MODELS.items()),
]


def leaves(gradients):
    """Yield the position of each array in nested tuples: (0,), or (1, 0) for the first array of the second tuple."""
    for k, one in enumerate(gradients):
        yield from ((k, *inner) for inner in leaves(one)) if isinstance(one, tuple) else [(k,)]


def replaced(gradients, position, value):
    k, *inner = position
    new = replaced(gradients[k], inner, value) if inner else value
    return (*gradients[:k], new, *gradients[k + 1 :])


def at(gradients, position):
    return at(gradients[position[0]], position[1:]) if position else gradients


def like(y):
    return tuple(map(like, y)) if isinstance(y, tuple) else np.full_like(y, 0.5)


def run(build, inputs):
    """Return a module after forward, and the right arguments of backward."""
    module = build()
    module.to(dtype=np.float64)
    y = module(*inputs)
    takes = len(inspect.signature(module.backward).parameters)
    return module, like(y if isinstance(y, tuple) else (y,))[:takes]


@pytest.mark.parametrize(("build", "inputs"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_wrong_gradient_uses_up_no_forward(build, inputs):
    module, right = run(build, inputs)
    expected = arrays_of(module.backward(*right), module)
    for position in leaves(right):
        shape = at(right, position).shape
        for wrong in (np.ones((*shape, 2)), np.ones(shape, np.float32), 1.0, "x", [1.0]):
            module, _ = run(build, inputs)
            with pytest.raises((TypeError, ValueError)):
                module.backward(*replaced(right, position, wrong))
            got = arrays_of(module.backward(*right), module)
            for one, other in zip(got, expected, strict=True):
                np.testing.assert_array_equal(one, other, err_msg=f"gradient {position} was {wrong!r:.40}")


def arrays_of(dx, module):
    found = [at((dx,), position) for position in leaves((dx,))]
    return [array for array in found if array is not None] + [p.grad for p in module.parameters()]

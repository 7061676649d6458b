"""Every layer and loss, with settings and inputs that hypothesis draws.

`CASES` has one strategy for each class: it draws a module and what to give it. benchmarks/checker.py draws 2,000 of
them, tests/gradcheck/test_false_alarms.py some; inputs may lie on kinks where a layer has any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.testing import strategies as nst

side, seed, yes = st.integers(1, 4), st.integers(0, 999), st.booleans()


def plain(shape: Any) -> st.SearchStrategy:
    """Draw any values, also on kinks."""
    return nst.well_conditioned(shape) | nst.with_zeros(shape)


@st.composite
def elementwise(draw: Any, make: st.SearchStrategy) -> tuple:
    return draw(make), draw(plain(nst.shapes(1, 4, max_side=3)))


@st.composite
def linear(draw: Any) -> tuple:
    x = draw(plain(nst.shapes(1, 3)))
    return nn.Linear(x.shape[-1], draw(side), draw(yes), rng=draw(seed)), x


@st.composite
def embedding(draw: Any) -> tuple:
    V = draw(st.integers(1, 5))
    return nn.Embedding(V, draw(side), rng=draw(seed)), draw(nst.ids(nst.shapes(1, 3), V))


@st.composite
def dropout(draw: Any, cls: type) -> tuple:
    shape = nst.shapes(3, 3) if cls is nn.VariationalDropout else nst.shapes(1, 3)
    return cls(draw(st.sampled_from([0.0, 0.3, 0.5, 0.9])), rng=draw(seed)), draw(plain(shape))


@st.composite
def norm(draw: Any, make: Any, shape: st.SearchStrategy, axis: int) -> tuple:
    """Draw `make(n, eps)`. Rows of nearly equal values get no small eps, which would make the function too steep."""
    x = draw(nst.distinct(shape, apart=0.3))
    return shaken(make(x.shape[axis], draw(st.sampled_from([1e-5, 1e-2, 0.5]))), draw(seed)), x


@st.composite
def group_norm(draw: Any) -> tuple:
    G, per_group = draw(st.integers(1, 2)), draw(st.integers(2, 3))
    shape = st.tuples(st.integers(1, 2), st.just(G * per_group), *[st.integers(1, 2)] * draw(st.integers(0, 2)))
    x = draw(nst.distinct(shape, apart=0.3))
    return shaken(nn.GroupNorm(G, G * per_group, draw(st.sampled_from([1e-5, 1e-2, 0.5]))), draw(seed)), x


@st.composite
def upsample(draw: Any) -> tuple:
    return nn.Upsample(scale_factor=draw(st.integers(1, 3))), draw(plain(nst.shapes(3, 4, max_side=3)))


def shaken(module: nn.Module, seed: int) -> nn.Module:
    """Replace the initial ones and zeros with random weights."""
    rng = np.random.default_rng(seed)
    for p in module.parameters():
        p.data[...] = rng.normal(size=p.shape)
    return module


@st.composite
def conv(draw: Any, axes: int) -> tuple:
    def size() -> Any:
        return draw(st.integers(1, 2)) if axes == 1 else (draw(st.integers(1, 2)), draw(st.integers(1, 2)))

    C, K = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    layer = (nn.Conv1d if axes == 1 else nn.Conv2d)(C, K, size(), size(), draw(st.integers(0, 1)), size(), draw(yes))
    shape = st.tuples(st.integers(1, 2), st.just(C), *[st.integers(3, 4)] * axes)
    return shaken(layer, draw(seed)), draw(plain(shape))


@st.composite
def pool(draw: Any, cls: type) -> tuple:
    k = draw(st.integers(1, 3))
    layer = cls(k, draw(st.sampled_from([None, 1, 2])), draw(st.integers(0, k // 2)))
    return layer, draw(plain(st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(3, 4), st.integers(3, 4))))


@st.composite
def cell(draw: Any, make: Any, states: int) -> tuple:
    N, D, H = draw(side), draw(side), draw(side)
    h = [draw(plain((N, H))) for _ in range(states)]
    state = () if draw(yes) else (tuple(h) if states == 2 else h[0],)
    return make(D, H, draw(seed)), draw(plain((N, D))), *state


@st.composite
def recurrent(draw: Any, cls: type, states: int) -> tuple:
    N, T, D, H, L = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(side), draw(side), draw(st.integers(1, 2))
    both = draw(yes)
    dropout = draw(st.sampled_from([0.0, 0.4])) if L > 1 else 0.0
    layer = cls(D, H, L, dropout, bidirectional=both, rng=draw(seed))
    x = draw(plain((N, T, D)))
    given = draw(st.sampled_from(["nothing", "state", "state and lengths"]))
    if given == "nothing":
        return layer, x
    shape = (L * (1 + both), N, H)
    h = [draw(plain(shape)) for _ in range(states)]
    lengths = () if given == "state" else ([draw(st.integers(1, T)) for _ in range(N)],)
    return layer, x, tuple(h) if states == 2 else h[0], *lengths


@st.composite
def unrolled(draw: Any) -> tuple:
    N, T, D, H, L = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(side), draw(side), draw(st.integers(1, 2))
    kind = draw(st.sampled_from([nn.RNNCell, nn.GRUCell, nn.LSTMCell]))
    layer = nn.Unrolled([kind(D if k == 0 else H, H, rng=draw(seed)) for k in range(L)])
    h = [draw(plain((L, N, H))) for _ in range(2 if kind is nn.LSTMCell else 1)]
    state = () if draw(yes) else (tuple(h) if len(h) == 2 else h[0],)
    return layer, draw(plain((N, T, D))), *state


@st.composite
def attention(draw: Any) -> tuple:
    heads, N, T = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    E = heads * draw(st.integers(1, 2))
    layer = nn.MultiheadAttention(E, heads, causal=draw(yes), rng=draw(seed))
    return shaken(layer, draw(seed)), draw(plain((N, T, E)))


@st.composite
def cross_attention(draw: Any) -> tuple:
    heads, N, T, S = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    E = heads * draw(st.integers(1, 2))
    layer = nn.CrossAttention(E, heads, rng=draw(seed))
    return shaken(layer, draw(seed)), draw(plain((N, T, E))), draw(plain((N, S, E)))


@st.composite
def decoder_block(draw: Any) -> tuple:
    heads, N, T, S = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    E = 2 * heads
    layer = nn.TransformerDecoderBlock(E, heads, 3, norm_first=draw(yes), activation="gelu", rng=draw(seed))
    return layer, draw(nst.distinct((N, T, E))), draw(nst.distinct((N, S, E)))


@st.composite
def lora(draw: Any) -> tuple:
    N, D, H = draw(side), draw(st.integers(2, 4)), draw(st.integers(2, 4))
    layer = nn.LoRA(nn.Linear(D, H, bias=draw(yes), rng=draw(seed)), draw(st.integers(1, 2)), rng=draw(seed))
    return shaken(layer, draw(seed)), draw(plain((N, D)))


@st.composite
def block(draw: Any) -> tuple:
    heads, N, T = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    E = 2 * heads
    settings = {"norm_first": draw(yes), "activation": draw(st.sampled_from(["gelu", "gelu_tanh"])), "bias": draw(yes)}
    layer = nn.TransformerBlock(E, heads, 3, causal=draw(yes), rng=draw(seed), **settings)
    return layer, draw(nst.distinct((N, T, E)))


@st.composite
def position(draw: Any) -> tuple:
    x = draw(plain(nst.shapes(3, 3)))
    return nn.PositionalEmbedding(x.shape[1] + draw(st.integers(0, 2)), x.shape[2], rng=draw(seed)), x


@st.composite
def sequential(draw: Any) -> tuple:
    x = draw(plain(nst.shapes(2, 2)))
    H, activation = draw(side), draw(st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.LeakyReLU]))
    layers = nn.Linear(x.shape[1], H, rng=draw(seed)), activation(), nn.Linear(H, draw(side), rng=draw(seed))
    return nn.Sequential(*layers), x


@st.composite
def residual(draw: Any) -> tuple:
    x = draw(plain(nst.shapes(2, 2)))
    activation = draw(st.sampled_from([nn.ReLU, nn.Tanh]))()
    return nn.Residual(nn.Linear(x.shape[1], x.shape[1], rng=draw(seed)), activation), x


@st.composite
def regression(draw: Any, make: st.SearchStrategy, target: Any = nst.well_conditioned) -> tuple:
    shape = draw(nst.shapes(1, 3))
    return draw(make), draw(nst.well_conditioned(shape)), draw(target(shape))


@st.composite
def kl(draw: Any) -> tuple:
    shape = draw(nst.shapes(2, 3))
    return nn.KLDivLoss(), np.log(draw(nst.probabilities(shape))), draw(nst.probabilities(shape))


@st.composite
def classification(draw: Any, make: Any, min_classes: int = 1) -> tuple:
    shape, C = draw(nst.shapes(1, 2)), draw(st.integers(min_classes, 5))
    module, ignore_index = make(draw, C)
    return module, draw(plain((*shape, C))), draw(nst.targets(shape, C, ignore_index=ignore_index))


def cross_entropy(draw: Any, C: int) -> tuple:
    ignore_index = draw(st.sampled_from([None, -100]))
    weight = draw(st.sampled_from([None, [0.5 + 0.25 * k for k in range(C)]]))
    return nn.CrossEntropyLoss(ignore_index, draw(st.sampled_from([0.0, 0.1])), weight), ignore_index


def margin(draw: Any, C: int) -> tuple:
    return nn.MultiMarginLoss(draw(st.sampled_from([1.0, 0.33]))), None


CASES: dict[type, st.SearchStrategy] = {
    **{
        cls: elementwise(st.builds(cls))
        for cls in (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.SiLU, nn.Softplus, nn.Softmax, nn.LogSoftmax)
    },
    nn.LeakyReLU: elementwise(st.builds(nn.LeakyReLU, st.sampled_from([0.01, 0.3]))),
    nn.ELU: elementwise(st.builds(nn.ELU, st.sampled_from([1.0, 1.7]))),
    nn.GELU: elementwise(st.builds(nn.GELU, st.sampled_from(["none", "tanh"]))),
    nn.Flatten: st.tuples(st.builds(nn.Flatten), plain(nst.shapes(2, 4, max_side=3))),
    nn.Linear: linear(),
    nn.Embedding: embedding(),
    nn.Dropout: dropout(nn.Dropout),
    nn.VariationalDropout: dropout(nn.VariationalDropout),
    nn.LayerNorm: norm(nn.LayerNorm, nst.shapes(2, 3, min_side=2), -1),
    nn.RMSNorm: norm(nn.RMSNorm, nst.shapes(2, 3, min_side=2), -1),
    nn.BatchNorm1d: norm(nn.BatchNorm1d, nst.shapes(2, 3, min_side=2), 1),
    nn.BatchNorm2d: norm(nn.BatchNorm2d, nst.shapes(4, 4, min_side=2, max_side=3), 1),
    nn.GroupNorm: group_norm(),
    nn.Conv1d: conv(1),
    nn.Conv2d: conv(2),
    nn.MaxPool2d: pool(nn.MaxPool2d),
    nn.AvgPool2d: pool(nn.AvgPool2d),
    nn.Upsample: upsample(),
    nn.RNNCell: cell(lambda D, H, seed: nn.RNNCell(D, H, "relu" if seed % 2 else "tanh", rng=seed), 1),
    nn.GRUCell: cell(lambda D, H, seed: nn.GRUCell(D, H, rng=seed), 1),
    nn.LSTMCell: cell(lambda D, H, seed: nn.LSTMCell(D, H, rng=seed), 2),
    nn.RNN: recurrent(nn.RNN, 1),
    nn.GRU: recurrent(nn.GRU, 1),
    nn.LSTM: recurrent(nn.LSTM, 2),
    nn.Unrolled: unrolled(),
    nn.MultiheadAttention: attention(),
    nn.CrossAttention: cross_attention(),
    nn.LoRA: lora(),
    nn.TransformerBlock: block(),
    nn.TransformerDecoderBlock: decoder_block(),
    nn.PositionalEmbedding: position(),
    nn.PositionalEncoding: plain(nst.shapes(3, 3)).map(lambda x: (nn.PositionalEncoding(), x)),
    nn.Sequential: sequential(),
    nn.Residual: residual(),
    nn.MSELoss: regression(st.builds(nn.MSELoss)),
    nn.HuberLoss: regression(st.builds(nn.HuberLoss, st.sampled_from([1.0, 0.3]))),
    nn.BCEWithLogitsLoss: regression(st.builds(nn.BCEWithLogitsLoss), nst.probabilities),
    nn.KLDivLoss: kl(),
    nn.CrossEntropyLoss: classification(cross_entropy),
    nn.MultiMarginLoss: classification(margin, min_classes=2),
}


@st.composite
def cases(draw: Any) -> tuple:
    """Draw any module and its inputs."""
    return draw(CASES[draw(st.sampled_from(list(CASES)))])

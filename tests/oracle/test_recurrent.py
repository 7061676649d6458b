"""RNN, GRU, LSTM and their cells against PyTorch: values and every gradient, to 1e-10 in float64."""

import numpy as np
import pytest

import nnscratch as nn

torch = pytest.importorskip("torch")

KINDS = {
    "RNN": (nn.RNN, nn.RNNCell, torch.nn.RNN, torch.nn.RNNCell, {}),
    "RNN relu": (nn.RNN, nn.RNNCell, torch.nn.RNN, torch.nn.RNNCell, {"nonlinearity": "relu"}),
    "GRU": (nn.GRU, nn.GRUCell, torch.nn.GRU, torch.nn.GRUCell, {}),
    "LSTM": (nn.LSTM, nn.LSTMCell, torch.nn.LSTM, torch.nn.LSTMCell, {}),
}


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def as_state(arrays):
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


def tensors(arrays):
    return [torch.tensor(a, requires_grad=True) for a in arrays]


def assert_close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-10, atol=1e-10)


def moved(ours, theirs):
    """Return PyTorch's module with our weights; names and shapes are the same."""
    theirs = theirs.double()
    theirs.load_state_dict({name: torch.tensor(a) for name, a in ours.state_dict().items()})
    return theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, [3, 6, 1, 3]], ids=["equal lengths", "packed"])
@pytest.mark.parametrize("layers", [1, 3])
def test_values_and_gradients_are_pytorchs(kind, bidirectional, lengths, layers):
    mine, _, torchs, _, options = KINDS[kind]
    N, T, D, H, rows = 4, 6, 3, 5, layers * (1 + bidirectional)
    rng = np.random.default_rng(layers)
    ours = mine(D, H, layers, bidirectional=bidirectional, rng=rng, **options).to(dtype=np.float64)
    theirs = moved(ours, torchs(D, H, layers, bidirectional=bidirectional, batch_first=True, **options))
    count = 2 if kind == "LSTM" else 1
    x, dy = rng.normal(size=(N, T, D)), rng.normal(size=(N, T, H * (1 + bidirectional)))
    state, dstate = ([rng.normal(size=(rows, N, H)) for _ in range(count)] for _ in range(2))

    y, last = ours(x, as_state(state), lengths)
    dx, first = ours.backward(dy, as_state(dstate))

    (tx, *tstate) = tensors([x, *state])
    if lengths is None:
        ty, tlast = theirs(tx, as_state(tstate))
    else:
        packed = torch.nn.utils.rnn.pack_padded_sequence(tx, torch.tensor(lengths), True, enforce_sorted=False)
        ty, tlast = theirs(packed, as_state(tstate))
        ty, _ = torch.nn.utils.rnn.pad_packed_sequence(ty, batch_first=True, total_length=T)
    torch.autograd.backward([ty, *parts(tlast)], [torch.tensor(a) for a in (dy, *dstate)])

    assert_close([y, *parts(last)], [ty, *parts(tlast)])
    assert_close([dx, *parts(first)], [tx.grad, *(s.grad for s in tstate)])
    gradients = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad, gradients[name].grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cells_are_pytorchs(kind):
    _, mine, _, torchs, options = KINDS[kind]
    rng = np.random.default_rng(3)
    ours = mine(3, 5, rng=rng, **options).to(dtype=np.float64)
    theirs = moved(ours, torchs(3, 5, **options))
    count = 2 if kind == "LSTM" else 1
    x, (state, dstate) = rng.normal(size=(4, 3)), ([rng.normal(size=(4, 5)) for _ in range(count)] for _ in range(2))
    after = parts(ours(x, as_state(state)))
    dx, before = ours.backward(*dstate)
    tx, *tstate = tensors([x, *state])
    tafter = parts(theirs(tx, as_state(tstate)))
    torch.autograd.backward(tafter, [torch.tensor(a) for a in dstate])
    assert_close(after, tafter)
    assert_close([dx, *parts(before)], [tx.grad, *(s.grad for s in tstate)])
    gradients = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad, gradients[name].grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name)

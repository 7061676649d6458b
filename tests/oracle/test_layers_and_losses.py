"""Every layer and every loss has the values and gradients of PyTorch, to 1e-10 in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn

torch = pytest.importorskip("torch")

sizes = st.integers(1, 5)
seeds = st.integers(0, 999)


def tensor(array, learn=True):
    return torch.tensor(array, requires_grad=learn and array.dtype.kind == "f")


def load(theirs, ours):
    """Return the torch module with our weights, which have the same names."""
    theirs = theirs.double()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    return theirs


def assert_equal(ours, theirs):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


def assert_same_gradients(ours, theirs):
    wanted = dict(theirs.named_parameters())
    assert wanted.keys() == dict(ours.named_parameters()).keys()
    for name, parameter in ours.named_parameters():
        assert_equal(parameter.grad, wanted[name].grad)


@given(n=sizes, t=sizes, d=sizes, h=sizes, bias=st.booleans(), seed=seeds)
def test_linear(n, t, d, h, bias, seed):
    rng = np.random.default_rng(seed)
    ours = nn.Linear(d, h, bias, rng=rng).to(dtype=np.float64)
    theirs = load(torch.nn.Linear(d, h, bias), ours)
    x, dy = rng.normal(size=(n, t, d)), rng.normal(size=(n, t, h))
    tx = tensor(x)
    ty = theirs(tx)
    ty.backward(tensor(dy, learn=False))
    assert_equal(ours(x), ty)
    assert_equal(ours.backward(dy), tx.grad)
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nn.Sigmoid(), torch.nn.Sigmoid()),
        (nn.Tanh(), torch.nn.Tanh()),
        (nn.ReLU(), torch.nn.ReLU()),
        (nn.Softmax(), torch.nn.Softmax(dim=-1)),
    ],
    ids=["Sigmoid", "Tanh", "ReLU", "Softmax"],
)
@given(n=sizes, d=sizes, size=st.sampled_from([0.1, 1, 10, 1000]), seed=seeds)
def test_activation(ours, theirs, n, d, size, seed):
    rng = np.random.default_rng(seed)
    x, dy = size * rng.normal(size=(n, d)), rng.normal(size=(n, d))
    x[0, 0] = 0  # PyTorch also uses the slope 0 there
    tx = tensor(x)
    ty = theirs(tx)
    ty.backward(tensor(dy, learn=False))
    assert_equal(ours(x), ty)
    assert_equal(ours.backward(dy), tx.grad)


@given(n=sizes, t=sizes, d=sizes, seed=seeds)
def test_embedding(n, t, d, seed):
    rng = np.random.default_rng(seed)
    ours = nn.Embedding(4, d, rng=rng).to(dtype=np.float64)
    theirs = load(torch.nn.Embedding(4, d), ours)
    ids, dy = rng.integers(0, 4, (n, t)), rng.normal(size=(n, t, d))
    ty = theirs(tensor(ids))
    ty.backward(tensor(dy, learn=False))
    assert_equal(ours(ids), ty)
    ours.backward(dy)
    assert_same_gradients(ours, theirs)


@given(p=st.sampled_from([0.1, 0.5, 0.8]), seed=seeds)
def test_dropout_scales_what_it_keeps_as_pytorch_does(p, seed):
    x = np.random.default_rng(seed).normal(size=(20, 20))
    ours, theirs = nn.Dropout(p, rng=seed)(x), torch.nn.functional.dropout(tensor(x, learn=False), p).numpy()
    both = (ours != 0) & (theirs != 0)
    np.testing.assert_allclose(ours[both], theirs[both], rtol=1e-14)
    np.testing.assert_allclose(nn.Dropout(p).eval()(x), torch.nn.Dropout(p).eval()(tensor(x, learn=False)))


@given(n=sizes, d=sizes, h=sizes, seed=seeds)
def test_lstm_cell(n, d, h, seed):
    rng = np.random.default_rng(seed)
    ours = nn.LSTMCell(d, h, rng=rng).to(dtype=np.float64)
    theirs = load(torch.nn.LSTMCell(d, h), ours)
    x, state, dstate = rng.normal(size=(n, d)), rng.normal(size=(2, n, h)), rng.normal(size=(2, n, h))
    tx, tstate = tensor(x), [tensor(s) for s in state]
    tnew = theirs(tx, tuple(tstate))
    torch.autograd.backward(tnew, [tensor(g, learn=False) for g in dstate])
    for one, other in zip(ours(x, tuple(state)), tnew, strict=True):
        assert_equal(one, other)
    dx, dold = ours.backward(*dstate)
    assert_equal(dx, tx.grad)
    for one, other in zip(dold, tstate, strict=True):
        assert_equal(one, other.grad)
    assert_same_gradients(ours, theirs)


@given(n=sizes, t=st.integers(1, 7), d=sizes, h=sizes, layers=st.integers(1, 3), seed=seeds)
def test_lstm(n, t, d, h, layers, seed):
    rng = np.random.default_rng(seed)
    ours = nn.LSTM(d, h, layers, rng=rng).to(dtype=np.float64)
    theirs = load(torch.nn.LSTM(d, h, layers, batch_first=True), ours)
    x, dy = rng.normal(size=(n, t, d)), rng.normal(size=(n, t, h))
    state, dstate = rng.normal(size=(2, 2, layers, n, h))
    tx, tstate = tensor(x), [tensor(s) for s in state]
    ty, tfinal = theirs(tx, tuple(tstate))
    torch.autograd.backward([ty, *tfinal], [tensor(g, learn=False) for g in (dy, *dstate)])
    y, final = ours(x, tuple(state))
    dx, dinitial = ours.backward(dy, tuple(dstate))
    assert_equal(y, ty)
    assert_equal(dx, tx.grad)
    for one, other, gradient in zip(final, tfinal, range(2), strict=True):
        assert_equal(one, other)
        assert_equal(dinitial[gradient], tstate[gradient].grad)
    assert_same_gradients(ours, theirs)


@given(n=sizes, d=sizes, seed=seeds)
def test_mse(n, d, seed):
    x, t = np.random.default_rng(seed).normal(size=(2, n, d))
    ours, tx = nn.MSELoss(), tensor(x)
    loss = torch.nn.MSELoss()(tx, tensor(t, learn=False))
    loss.backward()
    assert ours(x, t) == pytest.approx(loss.item(), rel=1e-10)
    assert_equal(ours.backward(), tx.grad)


@given(
    n=sizes, t=sizes, classes=st.integers(1, 6), size=st.sampled_from([1, 100]),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]), ignore=st.booleans(), seed=seeds,
)  # fmt: skip
def test_cross_entropy(n, t, classes, size, smoothing, ignore, seed):
    rng = np.random.default_rng(seed)
    x, target = size * rng.normal(size=(n, t, classes)), rng.integers(0, classes, (n, t))
    if ignore:
        target[rng.random((n, t)) < 0.3] = -100
        target[0, 0] = 0
    ours, tx = nn.CrossEntropyLoss(ignore_index=-100 if ignore else None, label_smoothing=smoothing), tensor(x)
    theirs = torch.nn.CrossEntropyLoss(ignore_index=-100, label_smoothing=smoothing)
    loss = theirs(tx.reshape(-1, classes), tensor(target).reshape(-1))
    loss.backward()
    assert ours(x, target) == pytest.approx(loss.item(), rel=1e-10, abs=1e-12)
    assert_equal(ours.backward(), tx.grad)

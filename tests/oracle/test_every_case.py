"""Every public layer and every loss against PyTorch, to 1e-10 in float64.

The cases are those of tests/shared/cases.py, one after the other.
"""

import numpy as np
import pytest
from cases import LAYERS, LOSSES

torch = pytest.importorskip("torch")


def arrays_in(nest):
    """Yield every leaf of nested tuples."""
    return [leaf for inner in nest for leaf in arrays_in(inner)] if isinstance(nest, tuple) else [nest]


def like(nest, make):
    """Return the same nested tuples with `make(leaf)` for each leaf."""
    return tuple(like(inner, make) for inner in nest) if isinstance(nest, tuple) else make(nest)


def tensor(array):
    return torch.tensor(array, requires_grad=array.dtype.kind == "f")


def theirs_like(case, ours):
    """Return a function that runs PyTorch's forward, and its tensors for our parameters."""
    peer = case.peer(torch)
    if isinstance(peer, torch.nn.Module):
        peer = peer.double()
        peer.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
        return peer, dict(peer.named_parameters())
    weights = {name: tensor(p.data) for name, p in ours.named_parameters()}
    twin = case.build().to(dtype=np.float64)
    return lambda *inputs: peer(twin, weights, *inputs), weights


def assert_close(ours, theirs, name):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("case", [case for cases in LAYERS.values() for case in cases], ids=repr)
def test_values_and_all_gradients_are_pytorchs(case):
    rng = np.random.default_rng(0)
    ours = case.build().to(dtype=np.float64)
    theirs, weights = theirs_like(case, ours)
    inputs = case.inputs(rng)
    t_inputs = like(inputs, tensor)
    y, t_y = ours(*inputs), theirs(*t_inputs)
    dy = like(y, lambda a: rng.normal(size=a.shape))
    dx = ours.backward(*dy) if isinstance(y, tuple) else ours.backward(dy)
    torch.autograd.backward(arrays_in(t_y), [torch.tensor(a) for a in arrays_in(dy)])

    for a, b in zip(arrays_in(y), arrays_in(t_y), strict=True):
        assert_close(a, b, "an output")
    for a, b in zip(arrays_in(dx), arrays_in(t_inputs), strict=True):
        if b.requires_grad:
            assert_close(a, b.grad, "the gradient of an input")
    assert weights.keys() == {name for name, _ in ours.named_parameters()}
    for name, p in ours.named_parameters():
        if weights[name].requires_grad:
            assert_close(p.grad, weights[name].grad, name)
        else:
            assert not p.requires_grad and not p.grad.any()


@pytest.mark.parametrize("case", [case for cases in LAYERS.values() for case in cases], ids=repr)
def test_what_eval_mode_answers_after_some_training_is_pytorchs(case):
    rng = np.random.default_rng(0)
    ours = case.build().to(dtype=np.float64)
    peer = case.peer(torch)
    if not isinstance(peer, torch.nn.Module):
        pytest.skip("no module of PyTorch's does the same")
    peer = peer.double()
    peer.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    for _ in range(3):
        inputs = case.inputs(rng)
        ours(*inputs)
        peer(*like(inputs, tensor))
    y, t_y = ours.eval()(*inputs), peer.eval()(*like(inputs, tensor))
    for a, b in zip(arrays_in(y), arrays_in(t_y), strict=True):
        assert_close(a, b, "an output")
    for name, array in ours.state_dict().items():
        assert_close(array, peer.state_dict()[name], name)  # includes the running averages of BatchNorm


@pytest.mark.parametrize("case", [case for cases in LOSSES.values() for case in cases], ids=repr)
def test_losses_and_their_gradients_are_pytorchs(case):
    prediction, target = case.inputs(np.random.default_rng(0))
    t_prediction = tensor(prediction)
    t_loss = case.peer(torch)(t_prediction, torch.tensor(target))
    t_loss.backward()
    criterion = case.build()
    assert criterion(prediction, target) == pytest.approx(t_loss.item(), rel=1e-10)
    assert_close(criterion.backward(), t_prediction.grad, "the gradient of the prediction")

"""Layers and training on "cuda" against PyTorch: on a GPU, PyTorch's own CUDA; on the stand-in, PyTorch on the CPU."""

import functools
import warnings

import numpy as np
import pytest
import strict_cupy
from cases import LAYERS

import nnscratch as nn
from nnscratch import backend

torch = pytest.importorskip("torch")


@pytest.fixture
def theirs(on_cuda, monkeypatch):
    """Return the device on which PyTorch computes."""
    if backend.module_for("cuda") is strict_cupy.CUPY:
        return "cpu"
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch sees no GPU")
    start_backward_thread()
    for library in (torch.backends.cuda.matmul, torch.backends.cudnn):  # float32 without TF32, as CuPy
        monkeypatch.setattr(library, "allow_tf32", False)
    return "cuda"


@functools.cache
def start_backward_thread():
    """Make a first backward pass on the GPU: its thread has no CUDA context yet, and PyTorch warns and makes one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = torch.ones((2, 2), device="cuda", requires_grad=True)
        (a @ a).sum().backward()


def leaves(nest):
    return [leaf for inner in nest for leaf in leaves(inner)] if isinstance(nest, tuple) else [nest]


def like(nest, make):
    return tuple(like(inner, make) for inner in nest) if isinstance(nest, tuple) else make(nest)


def assert_close(ours, tensor, name="", rtol=1e-10):
    expected = tensor.detach().cpu().numpy()
    ours = backend.to_numpy(ours)
    np.testing.assert_allclose(ours, expected, rtol=rtol, atol=rtol * max(1, np.abs(expected).max()), err_msg=name)


@pytest.mark.parametrize("case", [case for cases in LAYERS.values() for case in cases], ids=repr)
def test_values_and_all_gradients_are_pytorchs(case, rng, theirs, on_cuda):
    peer = case.peer(torch)
    if not isinstance(peer, torch.nn.Module):
        pytest.skip("no module of PyTorch's does the same")
    ours = case.build().to(dtype=np.float64)
    peer = peer.double()
    peer.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    peer.to(theirs)
    inputs = case.inputs(rng)
    tensors = like(inputs, lambda a: torch.tensor(a, device=theirs, requires_grad=a.dtype.kind == "f"))
    ours.to("cuda")
    y, t_y = ours(*on_cuda(inputs)), peer(*tensors)
    dy = like(t_y, lambda a: rng.normal(size=tuple(a.shape)))
    moved = on_cuda(dy)
    dx = ours.backward(*moved) if isinstance(y, tuple) else ours.backward(moved)
    torch.autograd.backward(leaves(t_y), [torch.tensor(a, device=theirs) for a in leaves(dy)])
    for a, b in zip(leaves(y), leaves(t_y), strict=True):
        assert_close(a, b, "an output")
    for a, b in zip(leaves(dx), leaves(tensors), strict=True):
        if b.requires_grad:
            assert_close(a, b.grad, "the gradient of an input")
    for name, p in ours.named_parameters():
        assert_close(p.grad, dict(peer.named_parameters())[name].grad, name)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-8), (np.float32, 2e-3)])
def test_five_steps_of_adam_on_a_language_model_are_pytorchs(dtype, rtol, rng, theirs, on_cuda):
    ours = nn.models.LanguageModel(11, 6, 8, 2, rng=1).to(dtype=dtype)
    embedding, lstm = torch.nn.Embedding(11, 6), torch.nn.LSTM(6, 8, 2, batch_first=True)
    peer = torch.nn.ModuleDict({"embedding": embedding, "lstm": lstm, "linear": torch.nn.Linear(8, 11)})
    peer.to(getattr(torch, np.dtype(dtype).name))
    peer.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    peer.to(theirs)
    ours.to("cuda")
    trainer = nn.Trainer(ours, nn.CrossEntropyLoss(), nn.optim.Adam(ours.parameters(), lr=0.01), max_norm=1.0)
    adam, state = torch.optim.Adam(peer.parameters(), lr=0.01), None
    for _ in range(5):
        tokens = rng.integers(0, 11, (4, 8))
        loss = trainer.train_step(tokens[:, :-1].copy(), tokens[:, 1:].copy())
        t = torch.tensor(tokens, device=theirs)
        h, state = lstm(embedding(t[:, :-1]), state)
        state = tuple(s.detach() for s in state)
        t_loss = torch.nn.functional.cross_entropy(peer["linear"](h).reshape(-1, 11), t[:, 1:].reshape(-1))
        adam.zero_grad()
        t_loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        adam.step()
        assert loss == pytest.approx(t_loss.item(), rel=rtol)
    for name, tensor in peer.state_dict().items():
        assert_close(ours.state_dict()[name], tensor, name, rtol)

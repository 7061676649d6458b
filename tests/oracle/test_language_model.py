"""The language model and the same model in PyTorch share a state dict, results and training."""

import numpy as np
import pytest

import nnscratch as nn

torch = pytest.importorskip("torch")
files = pytest.importorskip("safetensors.torch")
torch.set_num_threads(1)  # for models this small, a second thread only causes waiting


class TorchLanguageModel(torch.nn.Module):
    def __init__(self, vocab_size, embed_size, hidden_size, num_layers):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocab_size, embed_size)
        self.lstm = torch.nn.LSTM(embed_size, hidden_size, num_layers, batch_first=True)
        self.linear = torch.nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens, state=None):
        h, state = self.lstm(self.embedding(tokens), state)
        return self.linear(h), state


SIZES = {"vocab_size": 13, "embed_size": 6, "hidden_size": 9, "num_layers": 2}


def both_models(dtype):
    """Return our model, and PyTorch's with the same weights."""
    ours = nn.models.LanguageModel(**SIZES, rng=0).to(dtype=dtype)
    theirs = TorchLanguageModel(**SIZES).to(torch.float64 if dtype == np.float64 else torch.float32)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize(("n", "t"), [(1, 1), (1, 5), (4, 1), (3, 8)])
def test_from_one_state_dict_come_the_same_logits_loss_and_gradients(n, t):
    ours, theirs = both_models(np.float64)
    rng = np.random.default_rng(n + t)
    tokens, targets = rng.integers(0, 13, (2, n, t))
    state, dstate = rng.normal(size=(2, 2, 2, n, 9))

    tstate = [torch.tensor(s, requires_grad=True) for s in state]
    tlogits, tfinal = theirs(torch.tensor(tokens), tuple(tstate))
    tloss = torch.nn.functional.cross_entropy(tlogits.reshape(-1, 13), torch.tensor(targets).reshape(-1))
    (tloss + sum((torch.tensor(g) * s).sum() for g, s in zip(dstate, tfinal, strict=True))).backward()

    criterion = nn.CrossEntropyLoss()
    logits, final = ours(tokens, tuple(state))
    loss = criterion(logits, targets)
    _, dinitial = ours.backward(criterion.backward(), tuple(dstate))

    np.testing.assert_allclose(logits, tlogits.detach(), rtol=1e-10, atol=1e-10)
    assert loss == pytest.approx(tloss.item(), rel=1e-10)
    wanted = dict(theirs.named_parameters())
    assert wanted.keys() == ours.state_dict().keys()
    for name, parameter in ours.named_parameters():
        np.testing.assert_allclose(parameter.grad, wanted[name].grad, rtol=1e-10, atol=1e-10, err_msg=name)
    for k in range(2):
        np.testing.assert_allclose(final[k], tfinal[k].detach(), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(dinitial[k], tstate[k].grad, rtol=1e-10, atol=1e-10)


def batches(steps):
    """Return batches (tokens, targets) of a text that takes some steps to learn."""
    text = np.array([(k * k) % 13 if k % 7 else (3 * k) % 13 for k in range(4 * (steps * 10 + 1))]).reshape(4, -1)
    for step in range(steps):
        yield text[:, 10 * step : 10 * step + 10], text[:, 10 * step + 1 : 10 * step + 11]


def our_losses(model, steps):
    criterion, optimizer = nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.005)
    hidden, losses, norms = model.init_hidden(4), [], []
    for tokens, targets in batches(steps):
        model.zero_grad()
        logits, hidden = model(tokens, hidden)
        losses.append(criterion(logits, targets))
        model.backward(criterion.backward())
        norms.append(nn.optim.clip_grad_norm_(model.parameters(), 0.25))
        optimizer.step()
    return losses, norms


def their_losses(model, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    hidden, losses, norms = None, [], []
    for tokens, targets in batches(steps):
        optimizer.zero_grad()
        logits, hidden = model(torch.tensor(tokens), hidden)
        hidden = tuple(s.detach() for s in hidden)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 13), torch.tensor(targets).reshape(-1))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25).item())
        optimizer.step()
        losses.append(loss.item())
    return losses, norms


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-5)])
def test_two_hundred_adam_steps_with_clipping_follow_pytorchs_loss_curve(dtype, tolerance):
    # In float64 the only difference is PyTorch's clipping, which divides by the norm plus 1e-6.
    ours, theirs = both_models(dtype)
    losses, norms = our_losses(ours, 200)
    expected_losses, expected_norms = their_losses(theirs, 200)
    np.testing.assert_allclose(losses, expected_losses, rtol=tolerance)
    np.testing.assert_allclose(norms[:20], expected_norms[:20], rtol=1e-3)
    assert 20 < (np.array(norms) > 0.25).sum() < 200  # some steps were clipped, and some were not
    assert losses[-1] < 0.7 * losses[0]  # the model has learned


def test_a_file_written_by_nn_save_loads_into_the_torch_module(tmp_path):
    ours, theirs = nn.models.LanguageModel(**SIZES, rng=3), TorchLanguageModel(**SIZES)
    nn.save(ours, tmp_path / "ours.safetensors")
    theirs.load_state_dict(files.load_file(tmp_path / "ours.safetensors"))
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[name], value)


def test_a_file_written_by_pytorch_loads_with_nn_load(tmp_path):
    ours, theirs = nn.models.LanguageModel(**SIZES, rng=3), TorchLanguageModel(**SIZES)
    files.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    assert nn.load(tmp_path / "theirs.safetensors", ours) is ours
    tokens = np.array([[1, 5, 2], [0, 12, 12]])
    with torch.no_grad():
        expected, _ = theirs(torch.tensor(tokens))
    np.testing.assert_allclose(ours(tokens)[0], expected, rtol=1e-5, atol=1e-6)


def test_the_weights_start_in_the_same_ranges_as_pytorchs():
    torch.manual_seed(0)
    sizes = {"vocab_size": 200, "embed_size": 50, "hidden_size": 100, "num_layers": 2}
    ours, theirs = nn.models.LanguageModel(**sizes, rng=0), TorchLanguageModel(**sizes)
    for name, value in theirs.state_dict().items():
        mine = ours.state_dict()[name]
        assert mine.shape == tuple(value.shape)
        assert mine.std() == pytest.approx(value.std().item(), rel=0.2)
        if not name.startswith("embedding"):
            assert np.abs(mine).max() == pytest.approx(value.abs().max().item(), rel=0.1)

"""The bidirectional encoder and the classifier on top against PyTorch, with padding, to 1e-10 in float64."""

import numpy as np
import pytest

import nnscratch as nn

torch = pytest.importorskip("torch")
N, T, V, D = 3, 5, 7, 8
LENGTHS = np.array([5, 2, 3])


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("pool", ["mean", "last"])
def test_logits_and_all_gradients_are_pytorchs(pool):
    rng = np.random.default_rng(0)
    ours = nn.models.TextClassifier(nn.models.TransformerEncoder(V, D, 2, 2, T, rng=0), 4, pool, rng=1)
    ours.to(dtype=np.float64)
    for p in ours.parameters():
        p.data[...] += 0.1 * rng.normal(size=p.shape)
    layer = torch.nn.TransformerEncoderLayer(D, 2, 4 * D, 0.0, "gelu", batch_first=True, norm_first=True)
    theirs = torch.nn.TransformerEncoder(layer, 2, norm=torch.nn.LayerNorm(D)).double()

    def their_name(name):
        name = name.removeprefix("encoder.")
        return name.replace("blocks.", "layers.") if name.startswith(("blocks.", "norm.")) else None

    state = ours.state_dict()
    theirs.load_state_dict({their_name(name): torch.tensor(a) for name, a in state.items() if their_name(name)})
    outer = {name: torch.tensor(a, requires_grad=True) for name, a in state.items() if not their_name(name)}
    tokens = rng.integers(0, V, (N, T))
    padding = torch.arange(T) >= torch.tensor(LENGTHS)[:, None]
    x = outer["encoder.embedding.weight"][tokens] + outer["encoder.position.weight"]
    h = theirs(x, src_key_padding_mask=padding)
    if pool == "mean":
        p = h.masked_fill(padding[:, :, None], 0).sum(dim=1) / torch.tensor(LENGTHS)[:, None]
    else:
        p = h[torch.arange(N), torch.tensor(LENGTHS) - 1]
    logits = torch.nn.functional.linear(p, outer["linear.weight"], outer["linear.bias"])
    dlogits = rng.normal(size=(N, 4))
    logits.backward(torch.tensor(dlogits))
    np.testing.assert_allclose(ours(tokens, LENGTHS), logits.detach(), rtol=1e-10, atol=1e-10)
    ours.backward(dlogits)
    tensors = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        expected = outer[name].grad if name in outer else tensors[their_name(name)].grad
        np.testing.assert_allclose(parameter.grad, expected, rtol=1e-10, atol=1e-10, err_msg=name)

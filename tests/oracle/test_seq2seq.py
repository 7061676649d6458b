"""The sequence-to-sequence models against PyTorch: logits and every gradient, with padding, to 1e-10 in float64."""

import numpy as np
import pytest

import nnscratch as nn

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
N, S, T, V = 3, 5, 4, 6
SOURCE, TARGET, LENGTHS = RNG.integers(0, 7, (N, S)), RNG.integers(0, V, (N, T)), [5, 2, 3]
DLOGITS = RNG.normal(size=(N, T, V))
PADDING = torch.arange(S) >= torch.tensor(LENGTHS)[:, None]


def double(module):
    for p in module.parameters():
        p.data[...] += 0.1 * RNG.normal(size=p.shape)
    return module.to(dtype=np.float64)


def assert_same_step(ours, logits, theirs):
    """Compare logits, then run both backward passes and compare all gradients; `theirs` maps our names to tensors."""
    np.testing.assert_allclose(ours(SOURCE, TARGET, LENGTHS), logits.detach(), rtol=1e-10, atol=1e-10)
    ours.backward(DLOGITS)
    logits.backward(torch.tensor(DLOGITS))
    assert theirs.keys() == {name for name, _ in ours.named_parameters()}
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad, theirs[name].grad, rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_the_transformer_is_pytorchs(norm_first, activation):
    D, F = 8, 10
    ours = double(nn.models.TransformerSeq2Seq(7, V, D, 2, 2, F, norm_first=norm_first, activation=activation, rng=1))
    options = {"dropout": 0.0, "activation": activation, "batch_first": True, "norm_first": norm_first}
    theirs = torch.nn.Transformer(D, 2, 2, 2, F, **options).double()

    def their_name(name):
        stack, _, rest = name.partition(".")
        if stack.endswith("_norm"):
            return f"{stack.removesuffix('_norm')}.norm.{rest}"
        return f"{stack}.layers.{rest}" if stack in ("encoder", "decoder") else None

    state = {their_name(name): torch.tensor(a) for name, a in ours.state_dict().items() if their_name(name)}
    theirs.load_state_dict(state)
    outer = {
        name: torch.tensor(p.data, requires_grad=True) for name, p in ours.named_parameters() if not their_name(name)
    }
    positions = torch.tensor(nn.PositionalEncoding()(np.zeros((1, max(S, T), D))))
    source = outer["source_embedding.weight"][SOURCE] + positions[:, :S]
    target = outer["target_embedding.weight"][TARGET] + positions[:, :T]
    ahead = torch.ones(T, T, dtype=torch.bool).triu(1)
    y = theirs(source, target, tgt_mask=ahead, src_key_padding_mask=PADDING, memory_key_padding_mask=PADDING)
    logits = torch.nn.functional.linear(y, outer["linear.weight"], outer["linear.bias"])
    tensors = dict(theirs.named_parameters())
    assert_same_step(
        ours, logits, outer | {name: tensors[their_name(name)] for name in ours.state_dict() if their_name(name)}
    )


class TorchSeq2Seq(torch.nn.Module):
    def __init__(self, connection, E, H, layers):
        super().__init__()
        nn_, self.connection = torch.nn, connection
        self.source_embedding, self.target_embedding = nn_.Embedding(7, E), nn_.Embedding(V, E)
        self.encoder = nn_.LSTM(E, H, layers, batch_first=True)
        self.decoder = nn_.LSTM(E + H if connection == "peek" else E, H, layers, batch_first=True)
        if connection == "attention":
            self.attention = nn_.MultiheadAttention(H, 1, batch_first=True)
        self.linear = nn_.Linear(H if connection == "state" else 2 * H, V)

    def forward(self, source, target):
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            self.source_embedding(source), LENGTHS, batch_first=True, enforce_sorted=False
        )
        e, (h, c) = self.encoder(packed)
        e, _ = torch.nn.utils.rnn.pad_packed_sequence(e, batch_first=True)
        x = self.target_embedding(target)
        last = h[-1][:, None].expand(-1, T, -1)
        if self.connection == "peek":
            x = torch.cat([x, last], dim=2)
        z, _ = self.decoder(x, (h, c))
        if self.connection == "attention":
            z = torch.cat([z, self.attention(z, e, e, key_padding_mask=PADDING)[0]], dim=2)
        elif self.connection == "peek":
            z = torch.cat([z, last], dim=2)
        return self.linear(z)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("connection", ["attention", "peek", "state"])
def test_the_lstms_are_pytorchs(connection, layers):
    ours = double(nn.models.Seq2Seq(7, V, 4, 6, layers, connection=connection, rng=1))
    theirs = TorchSeq2Seq(connection, 4, 6, layers).double()
    theirs.load_state_dict({name: torch.tensor(a) for name, a in ours.state_dict().items()})
    assert_same_step(ours, theirs(torch.tensor(SOURCE), torch.tensor(TARGET)), dict(theirs.named_parameters()))

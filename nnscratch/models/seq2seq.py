"""Seq2Seq: an LSTM reads one sequence, and a second LSTM writes another sequence.

    source (N, S) -> embedding -> encoder LSTM -> e (N, S, H) and the state (h, c) after the last token
    target (N, T) -> embedding -> decoder LSTM, which starts from (h, c) -> d (N, T, H)
    z = d, or d and a context vector -> Linear -> logits (N, T, V)

The logits at step t are scores for target token t+1, given the whole source and the target tokens 0..t. The target
begins with a start token and ends with a stop token. The decoder sees the source in one of three ways:

    connection="state"      only through the state (h, c), which must contain all information about the source.
    connection="peek"       the encoder's last h is also part of every input of the decoder and of the last layer:
                            x_t = (embedding, h)        z_t = (d_t, h)
    connection="attention"  at every step, a mean of all outputs of the encoder, with weights that depend on d_t:
                            a = attention(d, e)         z_t = (d_t, a_t)

    backward    linear -> dz, which splits into dd and the gradient of h or of a
                attention: da -> de, and a term of dd   decoder: dd -> dx, dh, dc
                peek: dh += sum over t of the parts of dz_t and dx_t that belong to h
                encoder: de, dh, dc -> the gradient of the source's embedding

References
----------
Sutskever, Vinyals and Le (2014), "Sequence to sequence learning with neural networks", arXiv:1409.3215: the state, and
reversed sources. Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder for statistical machine
translation", arXiv:1406.1078: a context vector at every step ("peek"). Luong, Pham and Manning (2015), "Effective
approaches to attention-based neural machine translation", arXiv:1508.04025: attention after the decoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_ids, one_of, positive_int, probability
from ..layers import LSTM, CrossAttention, Dropout, Embedding, Linear
from ..layers.segments import check_lengths
from ..module import Module

State = tuple[Array, ...]


class Seq2Seq(Module):
    """An encoder and a decoder, each an LSTM, by default with attention between them.

    Parameters
    ----------
    source_vocab_size, target_vocab_size : int
        The number of different tokens of the source, and V, the number of different tokens of the target.
    embed_size : int
        The length of the embedding vectors.
    hidden_size, num_layers : int
        H, the size of the hidden states, and the number of layers of each LSTM.
    dropout : float, 0 <= dropout < 1
        The probability of dropping an element: after the embeddings, between the layers, and before the last layer.
    connection : {"attention", "peek", "state"}
        How the decoder sees the source. The top of seq2seq.py explains the three ways.
    rng : None, int or numpy.random.Generator
        The source of the initial weights and the dropout masks. The same seed gives the same model.

    Examples
    --------
    Two sources. The second has 2 tokens and one token of padding. `target` is the input of the decoder: each of its
    tokens precedes a token that the model predicts.

    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.Seq2Seq(source_vocab_size=10, target_vocab_size=8, embed_size=4, hidden_size=6, rng=0)
    >>> source, target = np.array([[1, 2, 3], [4, 5, 0]]), np.array([[0, 7], [0, 6]])
    >>> logits = model(source, target, lengths=[3, 2])
    >>> logits.shape
    (2, 2, 8)
    >>> model.backward(np.ones_like(logits))                            # tokens have no gradient
    (None, None)

    `greedy_search` and `beam_search` write a target:

    >>> [tokens.tolist() for tokens in nn.greedy_search(model, source, start=0, stop=1, max_length=3, lengths=[3, 2])]
    [[5, 0, 5], [5, 0, 5]]
    """

    inputs_on_cpu = (2,)  # lengths
    arguments = ("source_vocab_size", "target_vocab_size", "embed_size", "hidden_size", "num_layers", "dropout") + (
        "connection",
    )

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        embed_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        connection: str = "attention",
        *,
        rng: None | int | np.random.Generator = None,
    ):
        self.connection = one_of("connection", connection, ("attention", "peek", "state"))
        self.source_vocab_size = positive_int("source_vocab_size", source_vocab_size)
        self.target_vocab_size = positive_int("target_vocab_size", target_vocab_size)
        self.embed_size, self.hidden_size = (
            positive_int("embed_size", embed_size),
            positive_int("hidden_size", hidden_size),
        )
        self.num_layers, self.dropout = positive_int("num_layers", num_layers), probability("dropout", dropout)
        rng, E, H = backend.generator(rng), embed_size, hidden_size
        peek, attention = connection == "peek", connection == "attention"
        self.source_embedding = Embedding(source_vocab_size, E, rng=rng)
        self.dropout_source = Dropout(dropout, rng=rng)
        self.encoder = LSTM(E, H, num_layers, dropout, rng=rng)
        self.target_embedding = Embedding(target_vocab_size, E, rng=rng)
        self.dropout_target = Dropout(dropout, rng=rng)
        self.decoder = LSTM(E + H if peek else E, H, num_layers, dropout, rng=rng)
        self.attention = CrossAttention(H, 1, rng=rng) if attention else None
        self.dropout_out = Dropout(dropout, rng=rng)
        self.linear = Linear(2 * H if peek or attention else H, target_vocab_size, rng=rng)

    def forward(self, source: Array, target: Array, lengths: Any = None) -> Array:
        """Return scores for the token after each token of `target`.

        Parameters
        ----------
        source : array of integers, shape (N, S)
        target : array of integers, shape (N, T)
            The start token and the tokens that follow it.
        lengths : sequence of N integers in 1..S, optional
            The number of real tokens in each source. The tokens after them are padding.

        Returns
        -------
        logits : array, shape (N, T, V)
        """
        check_source_and_target(self, source, target)
        e, state = self.encoder(self.dropout_source(self.source_embedding(source)), lengths=lengths)  # (N, S, H)
        logits, _ = self._decode(target, state, e, lengths, h=state[0][-1])
        self.save_for_backward(e.shape)
        return logits

    def _decode(self, target: Array, state: Any, e: Array, lengths: Any, h: Array) -> tuple[Array, Any]:
        """Return the logits, (N, T, V), and the decoder's state. `h` is the encoder's last h, (N, H)."""
        xp = backend.array_module(e)
        x = self.dropout_target(self.target_embedding(target))  # (N, T, E)
        h = xp.broadcast_to(h[:, None], (*target.shape, self.hidden_size))  # (N, T, H)
        if self.connection == "peek":
            x = xp.concatenate([x, h], axis=2)  # (N, T, E + H)
        d, state = self.decoder(x, state)  # (N, T, H)
        if self.connection == "attention":
            z = xp.concatenate([d, self.attention(d, e, lengths)], axis=2)  # (N, T, 2H)
        else:
            z = xp.concatenate([d, h], axis=2) if self.connection == "peek" else d
        return self.linear(self.dropout_out(z)), state

    def backward(self, dlogits: Array) -> tuple[None, None]:
        """Add the gradients of all weights. Tokens have no gradient."""
        xp, H, E = backend.array_module(dlogits), self.hidden_size, self.embed_size
        dz = self.dropout_out.backward(self.linear.backward(dlogits))
        (e_shape,) = self.saved()
        de = xp.zeros(e_shape, dtype=dz.dtype)  # (N, S, H)
        dd, dcontext = xp.ascontiguousarray(dz[:, :, :H]), dz[:, :, H:]  # (N, T, H); dcontext is empty for "state"
        if self.connection == "attention":
            through_query, de = self.attention.backward(xp.ascontiguousarray(dcontext))
            dd += through_query
        dx, (dh, dc) = self.decoder.backward(dd)
        if self.connection == "peek":
            dh[-1] += dcontext.sum(axis=1) + dx[:, :, E:].sum(axis=1)  # h was used twice at every step
            dx = xp.ascontiguousarray(dx[:, :, :E])
        self.target_embedding.backward(self.dropout_target.backward(dx))
        dx, _ = self.encoder.backward(de, (dh, dc))
        self.source_embedding.backward(self.dropout_source.backward(dx))
        return None, None

    # --- writing a target token by token ---------------------------------------------------------------------------

    def start(self, source: Array, lengths: Any = None) -> State:
        """Read the source, and return the state before the first target token.

        The first axis of every array ``a`` of the state is the batch, so ``a[rows]`` selects sequences.
        """
        check_source_and_target(self, source, source[:, :0])
        xp, (N, S) = backend.array_module(source), source.shape
        e, (h, c) = self.encoder(self.dropout_source(self.source_embedding(source)), lengths=lengths)
        lengths = check_lengths(self, lengths, N, S)
        lengths = xp.full(N, S) if lengths is None else xp.asarray(lengths)
        return h.transpose(1, 0, 2), c.transpose(1, 0, 2), e, lengths, h[-1]

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """Read one target token of each sequence, shape (N,). Return the next token's scores, (N, V), and the state."""
        h, c, e, lengths, last_h = state
        logits, (h, c) = self._decode(tokens[:, None], (h.transpose(1, 0, 2), c.transpose(1, 0, 2)), e, lengths, last_h)
        return logits[:, 0], (h.transpose(1, 0, 2), c.transpose(1, 0, 2), e, lengths, last_h)


def check_source_and_target(model: Module, source: Array, target: Array) -> None:
    """Raise unless source and target are token ids of the same number of sequences."""
    name = type(model).__name__
    check_ids(model, "source", source, model.source_vocab_size)
    check_ids(model, "target", target, model.target_vocab_size)
    if source.ndim != 2 or 0 in source.shape or target.ndim != 2 or len(target) != len(source):
        raise ValueError(
            f"{name} needs source of shape (batch, tokens) and target of shape (batch, tokens), with equal batch; "
            f"got {source.shape} and {target.shape}"
        )

"""TransformerSeq2Seq: the Transformer of 2017. An encoder reads one sequence, and a decoder writes another.

    source (N, S) -> Embedding + positions -> Dropout -> TransformerBlocks -> LayerNorm -> m (N, S, D), the memory
    target (N, T) -> Embedding + positions -> Dropout -> TransformerDecoderBlocks, which all read m -> LayerNorm
                  -> Linear -> logits (N, T, V)

    backward    linear, norm -> dx          each decoder block, from the last: dx -> dx, and its part of dm
                dm, the sum of the parts -> norm -> the encoder's blocks, from the last

The logits at step t are scores for target token t+1, given the whole source and the target tokens 0..t: the decoder's
self-attention is causal. The encoder's self-attention is not causal, since the whole source is known. In training, all
T predictions are computed in one pass. `step` computes one token at a time, and keeps the keys and values of earlier
tokens. It also keeps the keys and values of the memory, which never change.

With the same weights, encoder and decoder give the same values and gradients as PyTorch's ``nn.Transformer``, in the
pre-norm form and in the post-norm form.

Reference: Vaswani et al. (2017), "Attention is all you need", arXiv:1706.03762.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int, probability
from ..init import xavier_uniform
from ..layers import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    PositionalEncoding,
    TransformerBlock,
    TransformerDecoderBlock,
)
from ..layers.segments import check_lengths
from ..module import Module
from ..sequential import Sequential
from .seq2seq import State, check_source_and_target


class TransformerSeq2Seq(Module):
    """A Transformer with an encoder and a decoder.

    Parameters
    ----------
    source_vocab_size, target_vocab_size : int
        The number of different tokens of the source, and V, the number of different tokens of the target.
    embed_size : int
        D, the length of the vector of each token in all layers.
    num_heads, num_layers : int
        The number of heads of each attention, and the number of blocks of the encoder and of the decoder.
    dim_feedforward : int, optional
        The hidden size of the network for each token. The default is 4 D.
    dropout : float, 0 <= dropout < 1
        The probability of dropping an element, in every block and after the embeddings.
    norm_first, activation
        The form of the blocks: see `TransformerBlock`. The Transformer of 2017 has ``norm_first=False`` and ``"relu"``.
    rng : None, int or numpy.random.Generator
        The source of the initial weights and the dropout masks. The same seed gives the same model.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.TransformerSeq2Seq(10, 8, embed_size=12, num_heads=2, num_layers=2, rng=0)
    >>> source, target = np.array([[1, 2, 3], [4, 5, 0]]), np.array([[0, 7], [0, 6]])
    >>> logits = model(source, target, lengths=[3, 2])
    >>> logits.shape
    (2, 2, 8)
    >>> model.backward(np.ones_like(logits))                            # tokens have no gradient
    (None, None)

    Write a target token by token:

    >>> model = model.eval()
    >>> state = model.start(source, lengths=[3, 2])
    >>> first, state = model.step(target[:, 0], state)
    >>> second, state = model.step(target[:, 1], state)
    >>> bool(np.allclose(np.stack([first, second], axis=1), model(source, target, [3, 2]), atol=1e-5))
    True
    """

    inputs_on_cpu = (2,)  # lengths
    arguments = ("source_vocab_size", "target_vocab_size", "embed_size", "num_heads", "num_layers") + (
        "dim_feedforward", "dropout", "norm_first", "activation"
    )  # fmt: skip

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        embed_size: int,
        num_heads: int,
        num_layers: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        *,
        norm_first: bool = True,
        activation: str = "relu",
        rng: None | int | np.random.Generator = None,
    ):
        self.source_vocab_size = positive_int("source_vocab_size", source_vocab_size)
        self.target_vocab_size = positive_int("target_vocab_size", target_vocab_size)
        self.embed_size, self.num_heads = positive_int("embed_size", embed_size), positive_int("num_heads", num_heads)
        self.num_layers, self.dropout = positive_int("num_layers", num_layers), probability("dropout", dropout)
        self.dim_feedforward, self.norm_first, self.activation = dim_feedforward, bool(norm_first), activation
        rng, D = backend.generator(rng), embed_size
        options = {"norm_first": norm_first, "activation": activation, "rng": rng}
        sizes = (D, num_heads, dim_feedforward, dropout)
        self.position = PositionalEncoding()
        self.source_embedding = Embedding(source_vocab_size, D, rng=rng)
        self.dropout_source = Dropout(dropout, rng=rng)
        self.encoder = Sequential(*(TransformerBlock(*sizes, **options) for _ in range(num_layers)))
        self.encoder_norm = LayerNorm(D)
        self.target_embedding = Embedding(target_vocab_size, D, rng=rng)
        self.dropout_target = Dropout(dropout, rng=rng)
        self.decoder = Sequential(*(TransformerDecoderBlock(*sizes, **options) for _ in range(num_layers)))
        self.decoder_norm = LayerNorm(D)
        for p in (*self.encoder.parameters(), *self.decoder.parameters()):
            if len(p.shape) == 2:  # as in PyTorch: xavier_uniform draws all matrices of the blocks
                p.data[...] = xavier_uniform(p.shape, rng)
        self.linear = Linear(D, target_vocab_size, rng=rng)

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
        m = self._encode(source, lengths)  # (N, S, D)
        x = self.dropout_target(self.position(self.target_embedding(target)))  # (N, T, D)
        for block in self.decoder.layers:
            x = block(x, m, lengths)
        return self.linear(self.decoder_norm(x))

    def _encode(self, source: Array, lengths: Any) -> Array:
        x = self.dropout_source(self.position(self.source_embedding(source)))
        for block in self.encoder.layers:
            x = block(x, lengths=lengths)
        return self.encoder_norm(x)

    def backward(self, dlogits: Array) -> tuple[None, None]:
        """Add the gradients of all weights. Tokens have no gradient."""
        dx, dm = self.decoder_norm.backward(self.linear.backward(dlogits)), 0
        for block in reversed(self.decoder.layers):
            dx, dm_of_block = block.backward(dx)
            dm = dm + dm_of_block  # every block reads m
        self.target_embedding.backward(self.position.backward(self.dropout_target.backward(dx)))
        dx = self.encoder.backward(self.encoder_norm.backward(dm))
        self.source_embedding.backward(self.position.backward(self.dropout_source.backward(dx)))
        return None, None

    # --- writing a target token by token ---------------------------------------------------------------------------

    def start(self, source: Array, lengths: Any = None) -> State:
        """Read the source, and return the state before the first target token, in ``eval()`` mode.

        The first axis of every array ``a`` of the state is the batch, so ``a[rows]`` selects sequences.
        """
        check_source_and_target(self, source, source[:, :0])
        m, (N, S) = self._encode(source, lengths), source.shape
        xp, lengths = backend.array_module(m), check_lengths(self, lengths, N, S)
        lengths = xp.full(N, S) if lengths is None else xp.asarray(lengths)
        nothing = xp.zeros((N, self.num_heads, 0, self.embed_size // self.num_heads), dtype=m.dtype)
        state = [lengths]
        for block in self.decoder.layers:
            state += [*block.multihead_attn.keys_and_values(m, lengths), nothing, nothing]
        return tuple(state)  # the lengths, and for each block, k and v of the memory and k and v of the target

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """Read one target token of each sequence, shape (N,). Return the next token's scores, (N, V), and the state."""
        lengths, *arrays = state
        x, present = self.position(self.target_embedding(tokens[:, None]), start=arrays[2].shape[2]), [lengths]
        for i, block in enumerate(self.decoder.layers):
            k_memory, v_memory, k, v = arrays[4 * i : 4 * i + 4]
            x, (k, v) = block(x, (k_memory, v_memory), lengths, past=(k, v))
            present += [k_memory, v_memory, k, v]
        return self.linear(self.decoder_norm(x))[:, 0], tuple(present)

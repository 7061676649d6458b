"""MaskedLM: a Transformer that reads in both directions and predicts hidden tokens, as BERT does.

    tokens (N, T) -> Embedding + PositionalEmbedding -> Dropout -> TransformerBlocks, not causal -> LayerNorm
                  -> h (N, T, D), the output of the encoder
    h -> Linear -> logits (N, T, V)

A causal model predicts the next token, so each token may see only earlier tokens. Here each token sees all other
tokens, so the task must be different. Some tokens of the input are hidden, and the model predicts them from the tokens
on both sides. `MaskedBatches` makes such batches. The loss counts only the hidden tokens.

Reference: Devlin, Chang, Lee and Toutanova (2019), "BERT: pre-training of deep bidirectional transformers for language
understanding", arXiv:1810.04805.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_ids, check_instance, positive_int, probability
from ..layers import Dropout, Embedding, LayerNorm, Linear, PositionalEmbedding, TransformerBlock
from ..module import Module
from ..sequential import Sequential


class TransformerEncoder(Module):
    """A Transformer whose tokens see all tokens of their sequence.

    Parameters
    ----------
    vocab_size : int
        V, the number of different tokens.
    embed_size : int
        D, the length of the vector of each token in all layers.
    num_heads, num_layers : int
        The number of attention heads in a block, and the number of blocks.
    context : int
        The length of the longest sequence.
    dropout : float, 0 <= dropout < 1
        The probability of dropping an element, in every block and after the embeddings.
    rng : None, int or numpy.random.Generator
        The source of the initial weights and the dropout masks.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> encoder = nn.models.TransformerEncoder(10, embed_size=8, num_heads=2, num_layers=1, context=5, rng=0)
    >>> h = encoder(np.array([[1, 2, 3], [4, 5, 0]]), lengths=[3, 2])
    >>> h.shape
    (2, 3, 8)
    >>> encoder.backward(np.ones_like(h))                               # tokens have no gradient
    """

    inputs_on_cpu = (1,)  # lengths
    arguments = ("vocab_size", "embed_size", "num_heads", "num_layers", "context", "dropout")

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_heads: int,
        num_layers: int,
        context: int,
        dropout: float = 0.0,
        *,
        rng: None | int | np.random.Generator = None,
    ):
        self.vocab_size, self.embed_size = (
            positive_int("vocab_size", vocab_size),
            positive_int("embed_size", embed_size),
        )
        self.num_heads, self.num_layers = positive_int("num_heads", num_heads), positive_int("num_layers", num_layers)
        self.context, self.dropout = positive_int("context", context), probability("dropout", dropout)
        rng = backend.generator(rng)
        self.embedding = Embedding(vocab_size, embed_size, rng=rng)
        self.embedding.weight.data *= 0.1  # small vectors, because the initial position vectors are small too
        self.position = PositionalEmbedding(context, embed_size, rng=rng)
        self.dropout_in = Dropout(dropout, rng=rng)
        self.blocks = Sequential(
            *(TransformerBlock(embed_size, num_heads, dropout=dropout, rng=rng) for _ in range(num_layers))
        )
        self.norm = LayerNorm(embed_size)

    def forward(self, tokens: Array, lengths: Any = None) -> Array:
        """Return h, shape (N, T, D), for tokens of shape (N, T).

        `lengths` contains the number of real tokens of each sequence. The tokens after them are padding: no token sees
        them, and h has no meaning there.
        """
        check_ids(self, "tokens", tokens, self.vocab_size)
        if tokens.ndim != 2 or not 0 < tokens.shape[1] <= self.context or not len(tokens):
            raise ValueError(
                f"TransformerEncoder needs tokens of shape (batch, time) with at most context={self.context} tokens in "
                f"a sequence, got {tokens.shape}"
            )
        x = self.dropout_in(self.position(self.embedding(tokens)))  # (N, T, D)
        for block in self.blocks.layers:
            x = block(x, lengths=lengths)
        return self.norm(x)

    def backward(self, dh: Array) -> None:
        """Add the gradients of all weights. Tokens have no gradient."""
        dx = self.blocks.backward(self.norm.backward(dh))
        self.embedding.backward(self.position.backward(self.dropout_in.backward(dx)))


class MaskedLM(Module):
    """A bidirectional Transformer that predicts hidden tokens.

    Parameters
    ----------
    encoder : TransformerEncoder
    rng : None, int or numpy.random.Generator
        The source of the last layer's weights.

    Attributes
    ----------
    encoder : TransformerEncoder
    linear : Linear

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> encoder = nn.models.TransformerEncoder(10, embed_size=8, num_heads=2, num_layers=1, context=5, rng=0)
    >>> model = nn.models.MaskedLM(encoder, rng=1)
    >>> tokens, targets = np.array([[1, 9, 3]]), np.array([[-100, 2, -100]])      # 9 hides the token 2
    >>> criterion = nn.CrossEntropyLoss(ignore_index=-100)
    >>> round(criterion(model(tokens), targets), 2)
    2.63
    >>> model.backward(criterion.backward())
    """

    inputs_on_cpu = (1,)  # lengths

    def __init__(self, encoder: TransformerEncoder, *, rng: None | int | np.random.Generator = None):
        check_instance("MaskedLM", "encoder", encoder, TransformerEncoder)
        self.encoder = encoder
        self.linear = Linear(encoder.embed_size, encoder.vocab_size, rng=rng)

    def constructor_modules(self) -> list[Module]:
        return [self.encoder]

    def forward(self, tokens: Array, lengths: Any = None) -> Array:
        """Return scores for the token at each position, shape (N, T, V)."""
        return self.linear(self.encoder(tokens, lengths))

    def backward(self, dlogits: Array) -> None:
        """Add the gradients of all weights. Tokens have no gradient."""
        self.encoder.backward(self.linear.backward(dlogits))

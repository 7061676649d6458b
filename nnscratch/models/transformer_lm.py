"""TransformerLM: predict the next token with attention, as GPT-2 does.

    tokens (N, T) -> Embedding + PositionalEmbedding -> Dropout -> one or more TransformerBlocks
                  -> LayerNorm -> Linear -> logits (N, T, V)

With norm_first=False, there is no LayerNorm before the last Linear layer, because each block ends with a LayerNorm.
With positions="sinusoidal", PositionalEncoding replaces PositionalEmbedding, and the embedding is multiplied by
sqrt(D), as in the first Transformer.

The logits at step t are scores for token t+1, given the tokens 0..t: the blocks are causal. The model makes all T
predictions in one pass, without a loop over time. It uses at most the latest `context` tokens. The state of an LSTM
has no such limit.

    training      Each batch is read separately. forward ignores the state that it gets, and returns the new state ().

    eval() mode   The state is the window: up to `context` tokens, with the keys and values that each block computed
                  for them. To continue a text, the model computes only the vectors of the new tokens. A full window
                  loses its older half. Its newer half is then read again, since these tokens move to other positions
                  and each position has its own vector. So every prediction uses between context/2 and context tokens,
                  except at the start of a text. The average cost of a token and the memory do not grow with the length
                  of the text.

References
----------
Vaswani et al. (2017), "Attention is all you need", arXiv:1706.03762.
Radford, Wu, Child, Luan, Amodei and Sutskever (2019), "Language models are unsupervised multitask learners" (GPT-2),
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
Karpathy (2022), nanoGPT, https://github.com/karpathy/nanoGPT. Press and Wolf (2017), "Using the output embedding to
improve language models", arXiv:1608.05859: tied weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_ids, check_targets, flag, one_of, positive_int
from ..init import normal
from ..layers import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    PositionalEmbedding,
    PositionalEncoding,
    TransformerBlock,
)
from ..layers.key_value_cache import KeyValueCache
from ..layers.linear_cross_entropy import linear_cross_entropy
from ..module import Module
from ..sequential import Sequential

State = tuple[Any, ...]


class TransformerLM(Module):
    """A causal Transformer language model.

    Parameters
    ----------
    vocab_size : int
        V, the number of different tokens.
    embed_size : int
        D, the length of the vector of each token in all layers.
    num_heads, num_layers : int
        The number of attention heads in a block, and the number of blocks.
    context : int, 2 or more
        The length of the longest training sequence, and the largest number of tokens that a prediction can use.
    dropout : float, 0 <= dropout < 1
        The probability of dropping an element, in every block and after the embeddings.
    tie_weights : bool
        True to use one matrix as the embedding and as the output weights.
    dim_feedforward, norm_first, activation, bias, layer_norm_eps, attention_dropout, hidden_dropout
        The form of the blocks: see `TransformerBlock`. The last Linear layer never has a bias.
    positions : {"learned", "sinusoidal"}
        How the position of a token becomes part of its vector: with a `PositionalEmbedding` or a `PositionalEncoding`.
    embedding_dropout : float, optional
        The dropout probability after the embeddings. The default is `dropout`.
    rng : None, int or numpy.random.Generator
        The source of the initial weights and the dropout masks. The same seed gives the same model.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.TransformerLM(vocab_size=10, embed_size=8, num_heads=2, num_layers=2, context=16, rng=0)
    >>> tokens = np.array([[1, 2, 3], [4, 5, 6]])                       # (N, T)
    >>> logits, state = model(tokens)
    >>> logits.shape
    (2, 3, 10)
    >>> model.backward(np.ones_like(logits))

    In eval() mode, the state continues a text:

    >>> model = model.eval()
    >>> whole, _ = model(tokens)
    >>> first, state = model(tokens[:, :2])
    >>> last, state = model(tokens[:, 2:], state)
    >>> bool(np.allclose(last, whole[:, 2:], atol=1e-6))
    True
    """

    arguments = ("vocab_size", "embed_size", "num_heads", "num_layers", "context", "dropout", "tie_weights") + (
        "dim_feedforward", "norm_first", "activation", "bias", "positions", "layer_norm_eps",
        "embedding_dropout", "attention_dropout", "hidden_dropout",
    )  # fmt: skip

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_heads: int,
        num_layers: int,
        context: int,
        dropout: float = 0.0,
        tie_weights: bool = False,
        *,
        dim_feedforward: int | None = None,
        norm_first: bool = True,
        activation: str = "gelu_tanh",  # three times as fast as the exact form
        bias: bool = True,
        positions: str = "learned",
        layer_norm_eps: float = 1e-5,
        embedding_dropout: float | None = None,
        attention_dropout: float | None = None,
        hidden_dropout: float | None = None,
        rng: None | int | np.random.Generator = None,
    ):
        if positive_int("context", context) < 2:
            raise ValueError(f"context must be 2 or more, got {context}")
        rng = backend.generator(rng)
        self.workspace = backend.Workspace()
        self.vocab_size = positive_int("vocab_size", vocab_size)
        self.embed_size = positive_int("embed_size", embed_size)
        self.num_heads, self.num_layers = positive_int("num_heads", num_heads), positive_int("num_layers", num_layers)
        self.context, self.tie_weights = int(context), flag("tie_weights", tie_weights)
        self.positions = one_of("positions", positions, ("learned", "sinusoidal"))
        self.embedding = Embedding(vocab_size, embed_size, rng=rng)
        learned = positions == "learned"
        self.position = PositionalEmbedding(context, embed_size, rng=rng) if learned else PositionalEncoding()
        self.dropout_in = Dropout(dropout if embedding_dropout is None else embedding_dropout, rng=rng)
        self.embedding_dropout = self.dropout_in.p
        form = {"dim_feedforward": dim_feedforward, "norm_first": norm_first, "activation": activation, "bias": bias}
        form |= {"layer_norm_eps": layer_norm_eps, "dropout": dropout, "attention_dropout": attention_dropout}
        form |= {"hidden_dropout": hidden_dropout}
        blocks = [TransformerBlock(embed_size, num_heads, causal=True, **form, rng=rng) for _ in range(num_layers)]
        self.blocks = Sequential(*blocks)
        for name in form:
            setattr(self, name, blocks[0].config()[name])  # the block has checked the value and replaced None
        self.norm = LayerNorm(embed_size, layer_norm_eps, bias) if norm_first else Sequential()
        self.linear = Linear(embed_size, vocab_size, bias=False, rng=rng)
        self._initialise(rng)
        if tie_weights:
            self.linear.weight = self.embedding.weight

    def _initialise(self, rng: np.random.Generator) -> None:
        """Draw the weights from a normal distribution with variance 1/fan-in, and set the biases to 0.

        Each block adds the outputs of two branches, attention and feed-forward, to its input. So the model has
        2 * num_layers branches. In the last layer of each branch, the variance is divided by this number, as in GPT-2.
        Otherwise the sum over all branches would grow with depth.

        GPT-2 uses a standard deviation of 0.02 for all weights, which is close to 1/sqrt(fan-in) for its D = 768. With
        D = 128, a deviation of 0.02 would make the outputs of the branches too small: for a long time, the model would
        learn little more than the frequencies of pairs of tokens.
        """
        blocks = self.blocks.layers
        last_of_branch = {id(layer.weight) for block in blocks for layer in (block.self_attn.out_proj, block.linear2)}
        for p in self.parameters():
            if len(p.shape) == 2:  # all weights except the weights of LayerNorm, which stay 1
                branches = 2 * self.num_layers if id(p) in last_of_branch else 1
                p.data[...] = normal(p.shape, 1 / math.sqrt(p.shape[1] * branches), rng)
        if self.bias:
            for block in blocks:  # all other biases are 0 already
                block.linear1.bias.data[...] = 0
                block.linear2.bias.data[...] = 0

    def init_hidden(self, batch_size: int) -> State:
        """Return the initial state, which is empty."""
        positive_int("batch_size", batch_size)
        return ()

    def repeat_hidden(self, state: State, count: int) -> State:
        """Return the state for `count` copies of each sequence. Use it to continue one text in several ways."""
        if not state:
            return ()
        window, *caches = state
        xp = backend.array_module(window)
        return xp.repeat(window, count, axis=0), *(cache.repeated(count) for cache in caches)

    def forward(self, tokens: Array, state: State | None = None) -> tuple[Array, State]:
        """Return scores for the token after each token.

        Parameters
        ----------
        tokens : array of integers in 0..V-1, shape (N, T)
            In training mode T is at most `context`.
        state : tuple, optional
            In ``eval()`` mode, the state that an earlier call returned. `tokens` then continue the text that the
            earlier call has read.

        Returns
        -------
        logits : array, shape (N, T, V)
        state : tuple
            The new state. In training mode, it is ().
        """
        h, state = self._hidden(tokens, state)
        return self.linear(h), state

    def loss_and_backward(
        self, tokens: Array, targets: Array, state: State | None = None, scale: float = 1.0
    ) -> tuple[float, State]:
        """Run forward, cross-entropy and backward without storing all logits at once. Return the loss and the state.

        Calls of `forward`, of a `CrossEntropyLoss` and of `backward` give the same loss and gradients, and a test
        checks this. This method is faster and takes less memory, so `Trainer` uses it. In ``eval()`` mode it computes
        the loss only. The gradients, but not the loss, are multiplied by `scale`.
        """
        check_targets(self, tokens, targets, scale)  # raise its errors now, before forward saves values
        h, state = self._hidden(tokens, state)
        options = {"workspace": self.workspace, "learn": self.training, "scale": scale}
        loss, dh = linear_cross_entropy(self.linear, h, targets, **options)
        if self.training:
            self._backward_from_hidden(dh)
        return backend.to_scalar(loss), state

    def backward(self, dlogits: Array) -> None:
        """Add the gradients of all weights. Tokens have no gradient."""
        self._backward_from_hidden(self.linear.backward(dlogits))

    def _backward_from_hidden(self, dh: Array) -> None:
        """Run backward through all layers before the last Linear layer."""
        dx = self.blocks.backward(self.norm.backward(dh))
        dx = self.position.backward(self.dropout_in.backward(dx))
        self.embedding.backward(dx if self.positions == "learned" else math.sqrt(self.embed_size) * dx)

    def _hidden(self, tokens: Array, state: State | None) -> tuple[Array, State]:
        """Return the input of the last Linear layer, shape (N, T, D), and the state."""
        check_ids(self, "tokens", tokens, self.vocab_size)
        if tokens.ndim != 2 or 0 in tokens.shape:
            raise ValueError(f"TransformerLM needs tokens of shape (batch, time), got {tokens.shape}")
        if not self.training:
            return self._continue(tokens, () if state is None else state)
        if tokens.shape[1] > self.context:
            raise ValueError(
                f"TransformerLM trains on sequences of at most context={self.context} tokens, got {tokens.shape[1]}: "
                f"make the sequences shorter (seq_len) or the context longer"
            )
        x = self.dropout_in(self._embed(tokens))  # (N, T, D)
        return self.norm(self.blocks(x)), ()

    def _embed(self, tokens: Array, start: int = 0) -> Array:
        """Return the vectors of `tokens`. The first token is at position `start`."""
        x = self.embedding(tokens)  # (N, T, D)
        return self.position(x if self.positions == "learned" else math.sqrt(self.embed_size) * x, start)

    # --- eval() mode: the window ---------------------------------------------------------------------------------

    def _continue(self, tokens: Array, state: State) -> tuple[Array, State]:
        """Read `tokens` as the continuation of the tokens in the window, which `state` contains.

        The tokens are read in pieces. Each piece fills the window, or is the rest of the tokens. A full window loses
        its older half.
        """
        self._check_state(tokens, state)
        outputs = []
        while tokens.shape[1]:
            if state and state[0].shape[1] == self.context:
                newer_half = state[0][:, -(self.context // 2) :]
                _, state = self._read_piece(newer_half, ())
            free = self.context - (state[0].shape[1] if state else 0)
            h, state = self._read_piece(tokens[:, :free], state)
            outputs.append(h)
            tokens = tokens[:, free:]
        h = outputs[0] if len(outputs) == 1 else backend.array_module(outputs[0]).concatenate(outputs, axis=1)
        return h, state

    def _read_piece(self, tokens: Array, state: State) -> tuple[Array, State]:
        """Read `tokens`, which must fit into the window.

        A state is () or (tokens in the window, cache of block 0, cache of block 1, ...).
        """
        xp, N = backend.array_module(tokens), len(tokens)
        if not state:
            shape = N, self.num_heads, self.context, self.embed_size // self.num_heads
            weight = self.linear.weight.data
            state = tokens[:, :0], *(KeyValueCache.empty(shape, like=weight) for _ in range(self.num_layers))
        window, *past = state
        x, present = self._embed(tokens, start=window.shape[1]), []
        for block, cache in zip(self.blocks.layers, past, strict=True):
            x, cache = block(x, past=cache)
            present.append(cache)
        return self.norm(x), (xp.concatenate([window, tokens], axis=1), *present)

    def _check_state(self, tokens: Array, state: State) -> None:
        """Raise unless `state` is empty, or was returned by an earlier call for the same number of sequences."""
        if not isinstance(state, (tuple, list)) or len(state) not in (0, 1 + self.num_layers):
            came = f"{len(state)} items" if isinstance(state, (tuple, list)) else type(state).__name__
            raise TypeError(
                f"TransformerLM: state must be a tuple of {1 + self.num_layers} items, as an earlier call returned it, "
                f"got {came}"
            )
        if state:
            check_ids(self, "state[0]", state[0], self.vocab_size)
        if state and len(state[0]) != len(tokens):
            raise ValueError(f"TransformerLM: state has {len(state[0])} sequences, but tokens has {len(tokens)}")

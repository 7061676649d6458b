"""TransformerLM: a small GPT. Which token comes next, by attention instead of recurrence.

    tokens (N, T) -> Embedding + PositionalEmbedding -> Dropout -> TransformerBlock, block upon block
                  -> LayerNorm -> Linear -> logits (N, T, V)

The logits at step t are scores for token t+1, given tokens 0..t: the blocks are causal. All T predictions are made, and
learned from, in one pass without a loop over time; but no token further back than `context` can be seen, where an
LSTM's state has no such edge.

    training      each batch is read by itself. Nothing is carried from batch to batch: the state that comes back is
                  (), and one that is given is not used.
    eval() mode   the state is the window: its tokens, and each block's keys and values of them. Reading on costs the
                  new tokens only. The window never holds more than `context` tokens; when it is full, the older half
                  is forgotten and the newer half is read again, because every place in the window has a vector of its
                  own, and those tokens now stand at other places. So every prediction but the very first ones sees
                  between context/2 and context tokens, and the thousandth token costs, on average, what the first
                  thousand did, in the same memory.

References
----------
Radford, Wu, Child, Luan, Amodei and Sutskever (2019), "Language models are unsupervised multitask learners" (GPT-2).
Karpathy (2022), nanoGPT. Press and Wolf (2017), "Using the output embedding to improve language models": tied weights.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_ids, positive_int, probability
from ..init import normal
from ..layers import Dropout, Embedding, LayerNorm, Linear, PositionalEmbedding, TransformerBlock
from ..layers.linear_cross_entropy import linear_cross_entropy
from ..module import Module
from ..sequential import Sequential

State = tuple[Array, ...]


class TransformerLM(Module):
    """A causal Transformer language model.

    Parameters
    ----------
    vocab_size : int
        V, the number of different tokens.
    embed_size : int
        D, the length of every token's vector, all the way through.
    num_heads, num_layers : int
    context : int, 2 or more
        The longest sequence that can be learned from, and the most tokens a prediction can see.
    dropout : float
    tie_weights : bool
        One matrix serves as embedding and as output weights.
    rng : None, int or numpy.random.Generator
        The same seed gives the same model. Weights start normal, of variance 1/fan-in; on each block's way back to the
        straight path less by 2 num_layers, as GPT-2's, so that the sum over all blocks does not grow with depth.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.TransformerLM(vocab_size=10, embed_size=8, num_heads=2, num_layers=2, context=16, rng=0)
    >>> tokens = np.array([[1, 2, 3], [4, 5, 6]])                       # (N, T)
    >>> logits, state = model(tokens)
    >>> logits.shape
    (2, 3, 10)
    >>> model.backward(np.ones_like(logits))

    Reading on, in eval() mode:

    >>> model = model.eval()
    >>> whole, _ = model(tokens)
    >>> first, state = model(tokens[:, :2])
    >>> last, state = model(tokens[:, 2:], state)
    >>> bool(np.allclose(last, whole[:, 2:], atol=1e-6))
    True
    """

    arguments = ("vocab_size", "embed_size", "num_heads", "num_layers", "context", "dropout", "tie_weights")

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
        rng: None | int | np.random.Generator = None,
    ):
        if positive_int("context", context) < 2:
            raise ValueError(f"context must be 2 or more, got {context}")
        rng = backend.generator(rng)
        self.workspace = backend.Workspace()
        self.vocab_size = positive_int("vocab_size", vocab_size)
        self.embed_size = positive_int("embed_size", embed_size)
        self.num_heads, self.num_layers = positive_int("num_heads", num_heads), positive_int("num_layers", num_layers)
        self.context, self.dropout, self.tie_weights = int(context), probability("dropout", dropout), bool(tie_weights)
        self.embedding = Embedding(vocab_size, embed_size, rng=rng)
        self.position = PositionalEmbedding(context, embed_size, rng=rng)
        self.dropout_in = Dropout(dropout, rng=rng)
        options = {"dropout": dropout, "causal": True, "approximate": "tanh"}  # GPT-2's GELU, three times as fast
        self.blocks = Sequential(
            *(TransformerBlock(embed_size, num_heads, **options, rng=rng) for _ in range(num_layers))
        )
        self.norm = LayerNorm(embed_size)
        self.linear = Linear(embed_size, vocab_size, bias=False, rng=rng)
        self._start(rng)
        if tie_weights:
            self.linear.weight = self.embedding.weight

    def _start(self, rng: np.random.Generator) -> None:
        """The first weights.

        GPT-2 starts all of them from a standard deviation of 0.02, which is about 1/sqrt(fan-in) for its D = 768. With
        D = 128 and 0.02 the branches are so faint that the model learns little but pairs of characters for long.
        """
        for name, p in self.named_parameters():
            if len(p.shape) == 2:
                way_back = name.endswith(("out_proj.weight", "linear2.weight"))
                std = 1 / math.sqrt(p.shape[1] * (2 * self.num_layers if way_back else 1))
                p.data[...] = normal(p.shape, std, rng)
            elif name.endswith("bias"):
                p.data[...] = 0

    def init_hidden(self, batch_size: int) -> State:
        """The state before anything was read: nothing."""
        positive_int("batch_size", batch_size)
        return ()

    def forward(self, tokens: Array, state: State | None = None) -> tuple[Array, State]:
        """Scores for the token after each token.

        Parameters
        ----------
        tokens : array of integers in 0..V-1, shape (N, T)
            In training mode T is at most `context`.
        state : tuple, optional
            In ``eval()`` mode, what an earlier call returned: read on after it.

        Returns
        -------
        logits : array, shape (N, T, V)
        state : tuple
            In training mode ().
        """
        h, state = self._hidden(tokens, state)
        return self.linear(h), state

    def loss_and_backward(self, tokens: Array, targets: Array, state: State | None = None) -> tuple[float, State]:
        """Forward, cross-entropy and backward in one go, never holding all the logits: what `Trainer` uses.

        In ``eval()`` mode only the loss is computed.
        """
        h, state = self._hidden(tokens, state)
        loss, dh = linear_cross_entropy(self.linear, h, targets, workspace=self.workspace, learn=self.training)
        if self.training:
            self._backward_from_hidden(dh)
        return backend.to_scalar(loss), state

    def backward(self, dlogits: Array) -> None:
        """Gradients for all weights. Tokens have none."""
        self._backward_from_hidden(self.linear.backward(dlogits))

    def _backward_from_hidden(self, dh: Array) -> None:
        dx = self.blocks.backward(self.norm.backward(dh))
        self.embedding.backward(self.position.backward(self.dropout_in.backward(dx)))

    def _hidden(self, tokens: Array, state: State | None) -> tuple[Array, State]:
        """What the last linear layer reads, shape (N, T, D), and the state."""
        check_ids(self, "tokens", tokens, self.vocab_size)
        if tokens.ndim != 2 or 0 in tokens.shape:
            raise ValueError(f"TransformerLM needs tokens of shape (batch, time), got {tokens.shape}")
        if not self.training:
            return self._read_on(tokens, () if state is None else state)
        if tokens.shape[1] > self.context:
            raise ValueError(
                f"TransformerLM learns from at most context={self.context} tokens at once, got {tokens.shape[1]}: "
                f"make the batches shorter (seq_len) or the context longer"
            )
        x = self.dropout_in(self.position(self.embedding(tokens)))  # (N, T, D)
        return self.norm(self.blocks(x)), ()

    # --- eval() mode: the window ---------------------------------------------------------------------------------

    def _read_on(self, tokens: Array, state: State) -> tuple[Array, State]:
        """As many pieces as it takes: each fills the window, and a full window loses its older half."""
        if not isinstance(state, (tuple, list)) or len(state) not in (0, 1 + 2 * self.num_layers):
            came = f"{len(state)} of them" if isinstance(state, (tuple, list)) else type(state).__name__
            raise TypeError(f"TransformerLM: state must be the {1 + 2 * self.num_layers} arrays of a call, got {came}")
        if state:
            check_ids(self, "state[0]", state[0], self.vocab_size)
        if state and len(state[0]) != len(tokens):
            raise ValueError(f"TransformerLM: the state is of {len(state[0])} sequences, the tokens of {len(tokens)}")
        read = []
        while tokens.shape[1]:
            if state and state[0].shape[1] == self.context:
                _, state = self._read_piece(state[0][:, -(self.context // 2) :], ())
            room = self.context - (state[0].shape[1] if state else 0)
            h, state = self._read_piece(tokens[:, :room], state)
            read.append(h)
            tokens = tokens[:, room:]
        return read[0] if len(read) == 1 else backend.array_module(read[0]).concatenate(read, axis=1), state

    def _read_piece(self, tokens: Array, state: State) -> tuple[Array, State]:
        """Tokens that fit into the window; the state is (tokens in it, k and v of block 0, k and v of block 1, ...)."""
        xp, (N, _), weight = backend.array_module(tokens), tokens.shape, self.position.weight
        empty = xp.zeros((N, self.num_heads, 0, self.embed_size // self.num_heads), dtype=weight.dtype)
        window, *past = state if state else (tokens[:, :0], *(empty for _ in range(2 * self.num_layers)))
        x, present = self.position(self.embedding(tokens), start=window.shape[1]), []
        for number, block in enumerate(self.blocks.layers):
            x, keys_and_values = block(x, past=tuple(past[2 * number : 2 * number + 2]))
            present += keys_and_values
        return self.norm(x), (xp.concatenate([window, tokens], axis=1), *present)

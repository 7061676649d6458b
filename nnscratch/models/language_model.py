"""LanguageModel: predict the next token with a recurrent network.

    tokens (N, T) -> Embedding -> Dropout -> LSTM with one or more layers -> Dropout -> Linear -> logits (N, T, V)

The logits at step t are scores for token t+1, given the tokens 0..t. The model returns its state (h, c), which
summarises all tokens read so far. Pass it to the next call to continue the text. With cell="rnn" or "gru", another
recurrent network replaces the LSTM, and the state consists of h only.

References
----------
Mikolov et al. (2010), "Recurrent neural network based language model", doi:10.21437/Interspeech.2010-343.
Zaremba, Sutskever and Vinyals (2014), "Recurrent neural network regularization", arXiv:1409.2329: where to apply
dropout.
Press and Wolf (2017), "Using the output embedding to improve language models", arXiv:1608.05859: tied weights.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import (
    check_gradient,
    check_ids,
    check_state_gradient,
    check_targets,
    flag,
    one_of,
    positive_int,
    probability,
)
from ..data.one_hot import one_hot
from ..init import uniform
from ..layers import GRU, LSTM, RNN, Dropout, Embedding, Linear
from ..layers.linear_cross_entropy import linear_cross_entropy
from ..module import Module
from ..parameter import Parameter

State = tuple[Array, Array] | Array
CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


class LanguageModel(Module):
    """A recurrent language model, by default with an LSTM.

    Parameters
    ----------
    vocab_size : int
        V, the number of different tokens.
    embed_size : int or None
        D, the length of the embedding vectors. None for one-hot input, without an embedding. A token then enters the
        recurrent layer as a vector of V numbers, 1 for this token and 0 for all others.
    hidden_size, num_layers : int
        H, the size of the hidden state, and the number of recurrent layers.
    dropout : float, 0 <= dropout < 1
        The probability of dropping an element: after the embedding, between the recurrent layers, and before the last
        Linear layer. The recurrence itself has no dropout.
    tie_weights : bool
        True to use one matrix as the embedding and as the output weights. This saves parameters and often gives better
        predictions. It requires ``embed_size == hidden_size``.
    cell : {"lstm", "gru", "rnn"}
        The type of the recurrent layer. It is also the name of the attribute for this layer.
    nonlinearity : {"tanh", "relu"}
        The nonlinearity of an RNN: see `RNN`. For ``cell="rnn"`` only.
    rng : None, int or numpy.random.Generator
        The source of the initial weights and the dropout masks. The same seed gives the same model.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.LanguageModel(vocab_size=10, embed_size=4, hidden_size=8, num_layers=2, rng=0)
    >>> tokens = np.array([[1, 2, 3], [4, 5, 6]])                       # (N, T)
    >>> logits, state = model(tokens, model.init_hidden(batch_size=2))
    >>> logits.shape
    (2, 3, 10)
    >>> _, dstate = model.backward(np.ones_like(logits))
    >>> dstate[0].shape
    (2, 2, 8)
    """

    arguments = (
        "vocab_size", "embed_size", "hidden_size", "num_layers", "dropout", "tie_weights", "cell", "nonlinearity"
    )  # fmt: skip

    def __init__(
        self,
        vocab_size: int,
        embed_size: int | None,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        tie_weights: bool = False,
        cell: str = "lstm",
        *,
        nonlinearity: str = "tanh",
        rng: None | int | np.random.Generator = None,
    ):
        if tie_weights and embed_size != hidden_size:
            raise ValueError(
                f"tie_weights uses one matrix as the embedding, (vocab_size, embed_size), and as the output weights, "
                f"(vocab_size, hidden_size): the sizes must be equal, got {embed_size} and {hidden_size}"
            )
        one_of("cell", cell, CELLS)
        if cell != "rnn" and nonlinearity != "tanh":
            raise ValueError(f'nonlinearity={nonlinearity!r} is for cell="rnn" only, got cell={cell!r}')
        rng = backend.generator(rng)
        self.workspace = backend.Workspace()
        self.vocab_size = positive_int("vocab_size", vocab_size)
        self.embed_size = None if embed_size is None else positive_int("embed_size", embed_size)
        self.hidden_size = positive_int("hidden_size", hidden_size)
        self.num_layers = positive_int("num_layers", num_layers)
        self.dropout, self.cell = probability("dropout", dropout), cell
        self.tie_weights = flag("tie_weights", tie_weights)
        self.nonlinearity = nonlinearity
        self.embedding = None if embed_size is None else Embedding(vocab_size, embed_size, rng=rng)
        self.dropout_in = Dropout(dropout, rng=rng)
        options = {"nonlinearity": nonlinearity} if cell == "rnn" else {}
        D = vocab_size if embed_size is None else embed_size
        setattr(self, cell, CELLS[cell](D, hidden_size, num_layers, dropout, **options, rng=rng))
        self.dropout_out = Dropout(dropout, rng=rng)
        self.linear = Linear(hidden_size, vocab_size, rng=rng)
        if tie_weights:
            # With the embedding's default variance of 1, the initial logits would have a variance of up to H.
            self.embedding.weight = self.linear.weight = Parameter(uniform((vocab_size, embed_size), 0.1, rng))

    @property
    def recurrent(self) -> LSTM | GRU | RNN:
        """The recurrent layer: the attribute `lstm`, `gru` or `rnn`."""
        return getattr(self, self.cell)

    def init_hidden(self, batch_size: int) -> State:
        """Return the initial state: zeros for h and c, or for h only, each of shape (num_layers, N, H)."""
        shape = (self.num_layers, positive_int("batch_size", batch_size), self.hidden_size)
        weight = self.linear.weight.data
        xp = backend.array_module(weight)
        h = xp.zeros(shape, dtype=weight.dtype)
        return (h, xp.zeros_like(h)) if self.cell == "lstm" else h

    def repeat_hidden(self, state: State, count: int) -> State:
        """Return the state for `count` copies of each sequence. Use it to continue one text in several ways."""
        if isinstance(state, tuple):
            return tuple(self.repeat_hidden(array, count) for array in state)
        return backend.array_module(state).repeat(state, count, axis=1)

    def forward(self, tokens: Array, state: State | None = None) -> tuple[Array, State]:
        """Return scores for the token after each token.

        Parameters
        ----------
        tokens : array of integers in 0..V-1, shape (N, T)
        state : (h, c), or h, optional
            The state that an earlier call returned. The default is zero.

        Returns
        -------
        logits : array, shape (N, T, V)
        state : (h, c), or h, each of shape (num_layers, N, H)
        """
        h, state = self._hidden(tokens, state)
        logits = self.linear(h)
        self.save_for_backward(logits.shape, logits.dtype, state)
        return logits, state

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
            self._backward_from_hidden(dh, None)
        return backend.to_scalar(loss), state

    def backward(self, dlogits: Array, dstate: State | None = None) -> tuple[None, State]:
        """Add the gradients of all weights. Return None for the tokens, and the gradient of the initial state."""
        shape, dtype, state = self.saved()
        check_gradient(self, dlogits, shape, dtype, "dlogits", more=dstate is not None)
        if dstate is not None:
            check_state_gradient(self, dstate, state)  # before backward changes a layer
        return None, self._backward_from_hidden(self.linear.backward(dlogits), dstate)

    def _hidden(self, tokens: Array, state: State | None) -> tuple[Array, State]:
        """Return the input of the last Linear layer, shape (N, T, H), and the state."""
        check_ids(self, "tokens", tokens, self.vocab_size)
        if tokens.ndim != 2:
            raise ValueError(f"LanguageModel needs tokens of shape (batch, time), got {tokens.shape}")
        if self.embedding is None:
            x = one_hot(tokens, self.vocab_size, self.linear.weight.dtype)  # (N, T, V)
        else:
            x = self.embedding(tokens)  # (N, T, D)
        if (
            self.dropout_in.training
        ):  # in eval() mode Dropout does nothing, and skipping the call makes generation faster
            x = self.dropout_in(x)
        h, state = self.recurrent(x, state)  # (N, T, H)
        if self.dropout_out.training:
            h = self.dropout_out(h)
        return h, state

    def _backward_from_hidden(self, dh: Array, dstate: State | None) -> State:
        """Run backward through all layers before the last Linear layer. Return the gradient of the initial state."""
        dx, dstate = self.recurrent.backward(self.dropout_out.backward(dh), dstate)
        dx = self.dropout_in.backward(dx)
        if self.embedding is not None:
            self.embedding.backward(dx)
        return dstate

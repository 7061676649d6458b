"""LanguageModel: which token comes next?

    tokens (N, T) -> Embedding -> Dropout -> LSTM, layer upon layer -> Dropout -> Linear -> logits (N, T, V)

The logits at step t are scores for token t+1, given all the tokens up to t. The state (h, c) that comes out is what
the model remembers; given to the next call, it reads on where it stopped. With cell="rnn" or "gru" another recurrent
network stands in the LSTM's place, and the state is h alone.

References
----------
Mikolov et al. (2010), "Recurrent neural network based language model".
Zaremba, Sutskever and Vinyals (2014), "Recurrent neural network regularization": where the dropout goes.
Press and Wolf (2017), "Using the output embedding to improve language models": tied weights.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_ids, positive_int, probability
from ..init import uniform
from ..layers import GRU, LSTM, RNN, Dropout, Embedding, Linear
from ..layers.linear_cross_entropy import linear_cross_entropy
from ..module import Module
from ..parameter import Parameter

State = tuple[Array, Array] | Array
CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


class LanguageModel(Module):
    """A recurrent language model: an LSTM's, unless another cell is asked for.

    Parameters
    ----------
    vocab_size : int
        V, the number of different tokens.
    embed_size, hidden_size, num_layers : int
    dropout : float
        After the embedding, between the LSTM's layers, and before the last linear layer; never on the recurrence.
    tie_weights : bool
        One matrix serves as embedding and as output weights: fewer parameters, often better. Needs
        ``embed_size == hidden_size``.
    cell : {"lstm", "gru", "rnn"}
        The recurrent layer; the model holds it under that name.
    rng : None, int or numpy.random.Generator
        The same seed gives the same model.

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

    arguments = ("vocab_size", "embed_size", "hidden_size", "num_layers", "dropout", "tie_weights", "cell")

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        tie_weights: bool = False,
        cell: str = "lstm",
        *,
        rng: None | int | np.random.Generator = None,
    ):
        if tie_weights and embed_size != hidden_size:
            raise ValueError(
                f"tie_weights makes one matrix of the embedding (vocab_size, embed_size) and the output weights "
                f"(vocab_size, hidden_size): the sizes must be equal, got {embed_size} and {hidden_size}"
            )
        if cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {cell!r}")
        rng = backend.generator(rng)
        self.workspace = backend.Workspace()
        self.vocab_size = positive_int("vocab_size", vocab_size)
        self.embed_size = positive_int("embed_size", embed_size)
        self.hidden_size = positive_int("hidden_size", hidden_size)
        self.num_layers = positive_int("num_layers", num_layers)
        self.dropout, self.tie_weights, self.cell = probability("dropout", dropout), bool(tie_weights), cell
        self.embedding = Embedding(vocab_size, embed_size, rng=rng)
        self.dropout_in = Dropout(dropout, rng=rng)
        setattr(self, cell, CELLS[cell](embed_size, hidden_size, num_layers, dropout, rng=rng))
        self.dropout_out = Dropout(dropout, rng=rng)
        self.linear = Linear(hidden_size, vocab_size, rng=rng)
        if tie_weights:
            # The embedding's usual start, of variance 1, would make logits of variance H: too sure of itself.
            self.embedding.weight = self.linear.weight = Parameter(uniform((vocab_size, embed_size), 0.1, rng))

    @property
    def recurrent(self) -> LSTM | GRU | RNN:
        """The recurrent layer, whichever it is."""
        return getattr(self, self.cell)

    def init_hidden(self, batch_size: int) -> State:
        """The state before anything was read: h and c (of "rnn" and "gru" h alone), (num_layers, N, H), all zero."""
        shape = (self.num_layers, positive_int("batch_size", batch_size), self.hidden_size)
        weight = self.linear.weight.data
        xp = backend.array_module(weight)
        h = xp.zeros(shape, dtype=weight.dtype)
        return (h, xp.zeros_like(h)) if self.cell == "lstm" else h

    def forward(self, tokens: Array, state: State | None = None) -> tuple[Array, State]:
        """Scores for the token after each token.

        Parameters
        ----------
        tokens : array of integers in 0..V-1, shape (N, T)
        state : (h, c), or h, optional
            What an earlier call returned; zero if not given.

        Returns
        -------
        logits : array, shape (N, T, V)
        state : (h, c), or h, each of shape (num_layers, N, H)
        """
        h, state = self._hidden(tokens, state)
        return self.linear(h), state

    def loss_and_backward(self, tokens: Array, targets: Array, state: State | None = None) -> tuple[float, State]:
        """Forward, cross-entropy and backward in one go, never holding all the logits: what `Trainer` uses.

        The same loss and gradients as the three calls one by one (a test holds them equal), faster and in less memory.
        In ``eval()`` mode only the loss is computed.
        """
        h, state = self._hidden(tokens, state)
        loss, dh = linear_cross_entropy(self.linear, h, targets, workspace=self.workspace, learn=self.training)
        if self.training:
            self._backward_from_hidden(dh, None)
        return backend.to_scalar(loss), state

    def backward(self, dlogits: Array, dstate: State | None = None) -> tuple[None, State]:
        """Gradients for all weights; returns None (tokens have no gradient) and that of the initial state."""
        return None, self._backward_from_hidden(self.linear.backward(dlogits), dstate)

    def _hidden(self, tokens: Array, state: State | None) -> tuple[Array, State]:
        """What the last linear layer reads, shape (N, T, H)."""
        check_ids(self, "tokens", tokens, self.vocab_size)
        if tokens.ndim != 2:
            raise ValueError(f"LanguageModel needs tokens of shape (batch, time), got {tokens.shape}")
        x = self.embedding(tokens)  # (N, T, D)
        if self.dropout_in.training:  # else it does nothing; writing text, one token at a time, even that can be felt
            x = self.dropout_in(x)
        h, state = self.recurrent(x, state)  # (N, T, H)
        return self.dropout_out(h) if self.dropout_out.training else h, state

    def _backward_from_hidden(self, dh: Array, dstate: State | None) -> State:
        dx, dstate = self.recurrent.backward(self.dropout_out.backward(dh), dstate)
        self.embedding.backward(self.dropout_in.backward(dx))
        return dstate

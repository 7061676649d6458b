"""The gates of an LSTM at each step of a text."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_tokenizer, count, one_of, positive_int, strings
from ..layers import LSTM, LSTMCell, Unrolled
from ..models import LanguageModel
from ..modes import eval_mode
from ..parameter import to_device_of
from ..record import record
from .style import MAP, axes_or_new, shown

TITLES = {"i": "input gate", "f": "forget gate", "g": "candidate", "o": "output gate", "c": "memory c", "h": "state h"}


def lstm_gates(lstm: LSTM, x: Array, layer: int = 0) -> dict[str, np.ndarray]:
    """Return the gates and states of one layer of `lstm` at each step of one sequence.

    :class:`~nnscratch.Unrolled` computes these values with the weights of `lstm`.

    Parameters
    ----------
    lstm : LSTM
        Not bidirectional.
    x : array, shape (T, D)
        The input of layer 0.
    layer : int
        The layer whose gates are returned.

    Returns
    -------
    dict of str to array, shape (T, H)
        The gates i, f, o, the candidate g, the memory c and the state h after every step.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> gates = lstm_gates(nn.LSTM(3, 5, rng=0), np.ones((7, 3), dtype=np.float32))
    >>> list(gates), gates["f"].shape
    (['i', 'f', 'g', 'o', 'c', 'h'], (7, 5))
    """
    if not isinstance(lstm, LSTM):
        raise TypeError(f"lstm_gates needs an LSTM, got {type(lstm).__name__}")
    if lstm.bidirectional:
        raise ValueError("lstm_gates needs an LSTM with one direction, got a bidirectional one")
    if count("layer", layer) >= lstm.num_layers:
        raise ValueError(f"layer must be in 0..{lstm.num_layers - 1}, got {layer}")
    x = backend.to_numpy(x)
    if x.ndim != 2 or x.shape[1] != lstm.input_size or len(x) == 0:
        raise ValueError(f"lstm_gates needs x of shape (T, {lstm.input_size}), one sequence, got {x.shape}")
    unrolled, zeros = textbook(lstm, x.dtype), np.zeros((lstm.num_layers, 1, lstm.hidden_size), dtype=x.dtype)
    with record(unrolled) as seen:
        unrolled(x[None], (zeros, zeros))
    steps = seen[f"cells.{layer}"]
    kept = {name: [] for name in TITLES}
    for (x_t, (h, _)), (h_new, c_new) in zip(steps.inputs, steps.outputs, strict=True):
        values = unrolled.cells[layer].gates(x_t, h)._asdict() | {"c": c_new, "h": h_new}
        for name, value in values.items():
            kept[name].append(value[0])
    return {name: np.stack(values) for name, values in kept.items()}


def textbook(lstm: LSTM, dtype: Any) -> Unrolled:
    """Return an `Unrolled` with the weights of `lstm` in its LSTMCells, on the CPU and in eval mode."""
    cells = []
    for layer in range(lstm.num_layers):
        weight_ih, _, _, _ = own = lstm.layer_parameters(layer)
        cell = LSTMCell(weight_ih.shape[1], lstm.hidden_size).to(dtype=dtype)
        for p, q in zip(cell.parameters(), own, strict=True):
            p.data[...] = backend.to_numpy(q.data)
        cells.append(cell)
    return Unrolled(cells).eval()


def plot_gates(
    gates: dict[str, Array] | LanguageModel,
    tokens: Any,
    text: str | None = None,
    *,
    show: str = "f",
    units: int = 12,
    layer: int = 0,
    ax: Any = None,
) -> Any:
    """Draw one gate over a text: a column for each token, a row for each of the units that vary most.

    Call it with a model as ``plot_gates(model, tokenizer, text)``, or with the result of `lstm_gates` as
    ``plot_gates(gates, tokens)``.

    Parameters
    ----------
    gates : LanguageModel, or dict of str to array of shape (T, H)
        A language model with an LSTM, or the result of :func:`lstm_gates`.
    tokens : tokenizer, or sequence of T str
        With a model, its tokenizer. With the result of `lstm_gates`, the tokens.
    text : str, optional
        With a model, the text that it reads.
    show : {"i", "f", "g", "o", "c", "h"}
    units : int
        The number of rows.
    layer : int
        With a model, the layer of its LSTM.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import nnscratch as nn
    >>> tokenizer = nn.data.CharTokenizer.from_text("abc ")
    >>> model = nn.models.LanguageModel(len(tokenizer), 4, 8, rng=0)
    >>> nn.plotting.plot_gates(model, tokenizer, "ab cab", show="i").get_title()
    'input gate, the 8 units that vary most'
    """
    if isinstance(gates, LanguageModel):
        if not isinstance(text, str):
            raise TypeError(f"with a model, call plot_gates(model, tokenizer, text), got text {text!r}")
        check_tokenizer("plot_gates", tokens)
        ids = tokens.encode(text)
        with eval_mode(*gates.modules()), record(gates) as seen:
            gates(to_device_of(gates, ids[None])[0])
        (x, *_) = seen[gates.cell].inputs[0]  # (1, T, D)
        gates, tokens = lstm_gates(gates.recurrent, x[0], layer), [tokens.decode([number]) for number in ids]
    elif not isinstance(gates, dict):
        raise TypeError(f"plot_gates needs a LanguageModel or the result of lstm_gates, got {type(gates).__name__}")
    one_of("show", show, TITLES)
    if show not in gates:
        raise ValueError(f"plot_gates: gates must have the key {show!r}, got {list(gates)}")
    values, tokens = backend.to_numpy(gates[show]), strings("tokens", tokens)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"plot_gates: each gate must have the shape (T, H), got {values.shape}")
    positive_int("units", units)
    if len(values) != len(tokens):
        raise ValueError(f"plot_gates: there must be one token for each of {len(values)} steps, got {len(tokens)}")
    chosen = np.sort(np.argsort(-values.std(axis=0), kind="stable")[:units])
    ax = axes_or_new(ax, min(14, 2.2 + 0.17 * len(tokens)), 1.4 + 0.22 * len(chosen))
    low = 0.0 if show in "ifo" else -max(1.0, float(np.abs(values[:, chosen]).max()))
    image = ax.imshow(values[:, chosen].T, cmap=MAP, vmin=low, vmax=1.0 if show in "ifo" else -low, aspect="auto")
    ax.set_xticks(range(len(tokens)), [shown(t) for t in tokens], rotation=90 if max(map(len, tokens)) > 1 else 0)
    ax.set_yticks(range(len(chosen)), chosen, fontsize=8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("token read")
    ax.set_ylabel("unit")
    ax.set_title(f"{TITLES[show]}, the {len(chosen)} units that vary most", fontsize=10)
    label = "0 shut, 1 open" if show in "ifo" else "value"
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)
    return ax

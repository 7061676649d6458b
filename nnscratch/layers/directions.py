"""Both directions, and sequences of different lengths: what RNN, GRU and LSTM do beyond one plain pass.

Two directions. Each layer runs twice, with weights of its own: over x_1 ... x_T, and over x_T ... x_1. What the second
wrote is turned round again and laid beside what the first wrote, so every step sees what came before *and* after it:

    forward     y  = [ run(x),  reversed(run_reverse(reversed(x))) ]        (N, T, 2H)
    backward    dx = run.backward(dy[.., :H]) + reversed(run_reverse.backward(reversed(dy[.., H:])))

Different lengths. A batch is a rectangle; shorter sequences are filled up with padding at their end. The time axis is
cut at every length that occurs, and each stretch is run with only those sequences that are still going on:

    lengths 5, 2, 3     steps 0 1 | 2 | 3 4         sequence 0    x x | x | x x
                        rows  0 1 2 | 0 2 | 0       sequence 1    x x |   |
                                                    sequence 2    x x | x |

A sequence's state stays what it was after its own last step, padding is never looked at (it may be anything), y is
zero there and so is dx. In backward the stretches come in the opposite order, and each sequence joins, with the
gradient of its own final state, at its own end. No step is computed that is not needed: PyTorch's packed sequences.

The one-layer modules made here hold the very Parameters of the layer they work for, and what their forwards put away
lies in that layer's own stack: module.py's contract does the bookkeeping.

Reference: Schuster and Paliwal (1997), "Bidirectional recurrent neural networks".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from ..parameter import Parameter
from .dropout import dropout_mask

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def suffixes(layer: int, bidirectional: bool) -> tuple[str, ...]:
    """How PyTorch ends the names of a layer's parameters: ``_l0`` and, for the second direction, ``_l0_reverse``."""
    return (f"_l{layer}", f"_l{layer}_reverse") if bidirectional else (f"_l{layer}",)


def directions_forward(module: Module, x: Array, state: tuple[Array, ...], lengths: Any) -> tuple[Array, tuple]:
    """All layers and directions of `module`, RNN, GRU or LSTM.

    Parameters
    ----------
    module : Module
    x : array, shape (N, T, D)
    state : tuple of arrays, each of shape (num_layers * directions, N, H)
        (h,) or (h, c); layer l's are at l * directions and, for the second direction, one further.
    lengths : sequence of N integers in 1..T, or None

    Returns
    -------
    y : array, shape (N, T, directions * H)
    state : tuple of arrays, like `state`
    """
    xp = backend.array_module(x)
    lengths = check_lengths(module, lengths, *x.shape[:2])
    last = tuple(xp.empty_like(s) for s in state)
    runs, k = [], 0
    for layer in range(module.num_layers):
        mask = None
        if layer > 0 and module.training and module.dropout > 0:
            mask = dropout_mask(x.shape, module.dropout, module.rng, like=x)
            x = x * mask
        outputs = []
        for suffix in suffixes(layer, module.bidirectional):
            reverse = suffix.endswith("_reverse")
            run = one_layer(module, suffix, x.shape[2])
            y, final = run_forward(run, turned(x, lengths) if reverse else x, [s[k] for s in state], lengths)
            for into, s in zip(last, final, strict=True):
                into[k] = s
            outputs.append(turned(y, lengths) if reverse else y)
            runs.append((run, reverse, mask))
            k += 1
        x = outputs[0] if len(outputs) == 1 else xp.concatenate(outputs, axis=2)  # (N, T, directions * H)
    module.save_for_backward(None, (runs, lengths, x.shape))
    return x, last


def directions_backward(module: Module, kept: tuple, dy: Array, dstate: tuple[Array, ...]) -> tuple[Array, tuple]:
    """Back through what `directions_forward` kept; `dstate` as its `state`, dy as its y, and dx as its x."""
    runs, lengths, _ = kept
    xp, H, dx = backend.array_module(dy), module.hidden_size, None
    dfirst = tuple(xp.empty_like(ds) for ds in dstate)
    for k in reversed(range(len(runs))):
        run, reverse, mask = runs[k]
        part = dy[:, :, H:] if reverse else dy[:, :, :H]
        dpart, dinitial = run_backward(
            run, turned(part, lengths) if reverse else part, [ds[k] for ds in dstate], lengths
        )
        dpart = turned(dpart, lengths) if reverse else dpart
        dx = dpart if dx is None else dx + dpart  # both directions read the same x
        for into, ds in zip(dfirst, dinitial, strict=True):
            into[k] = ds
        if not reverse:  # the first direction comes last: the layer is done
            dy, dx = dx if mask is None else dx * mask, None
    return dy, dfirst


def one_layer(module: Module, suffix: str, input_size: int) -> Module:
    """A module of one layer and one direction that shares `module`'s parameters of that suffix."""
    run = object.__new__(type(module))
    own = ("_stack", "forward", "backward")  # the last two are there while nn.record is watching
    vars(run).update({k: v for k, v in vars(module).items() if k not in own and not isinstance(v, Parameter)})
    vars(run).update(input_size=input_size, num_layers=1, dropout=0.0, bidirectional=False)
    for name in NAMES:
        setattr(run, f"{name}_l0", getattr(module, f"{name}{suffix}"))
    return run


def run_forward(run: Module, x: Array, state: list[Array], lengths: np.ndarray | None) -> tuple[Array, list[Array]]:
    """One layer, one direction, stretch by stretch; `state` holds arrays of shape (N, H)."""
    xp = backend.array_module(x)
    y = xp.zeros((*x.shape[:2], run.hidden_size), dtype=x.dtype)
    state = [s.copy() for s in state]
    for rows, steps in stretches(lengths, x.shape[1]):
        rows = rows if lengths is None else xp.asarray(rows)
        y[rows, steps], after = run(x[rows, steps], as_state([s[None, rows] for s in state]))
        for s, new in zip(state, as_tuple(after), strict=True):
            s[rows] = new[0]
    return y, state


def run_backward(run: Module, dy: Array, dstate: list[Array], lengths: np.ndarray | None) -> tuple[Array, list[Array]]:
    """Back through the stretches of `run_forward`, the last one first."""
    xp = backend.array_module(dy)
    dx = xp.zeros((*dy.shape[:2], run.input_size), dtype=dy.dtype)
    dstate = [ds.copy() for ds in dstate]
    for rows, steps in reversed(stretches(lengths, dy.shape[1])):
        rows = rows if lengths is None else xp.asarray(rows)
        dx[rows, steps], before = run.backward(dy[rows, steps], as_state([ds[None, rows] for ds in dstate]))
        for ds, new in zip(dstate, as_tuple(before), strict=True):
            ds[rows] = new[0]
    return dx, dstate


def stretches(lengths: np.ndarray | None, T: int) -> list[tuple[Any, slice]]:
    """Where time is cut: for each stretch, the rows still going on and the steps.

    Examples
    --------
    >>> for rows, steps in stretches(np.array([5, 2, 3]), 5):
    ...     print(rows, steps.start, steps.stop)
    [0 1 2] 0 2
    [0 2] 2 3
    [0] 3 5
    """
    if lengths is None:
        return [(slice(None), slice(0, T))]
    ends = np.unique(lengths)
    starts = np.concatenate([[0], ends[:-1]])
    return [(np.flatnonzero(lengths >= end), slice(int(a), int(end))) for a, end in zip(starts, ends, strict=True)]


def turned(x: Array, lengths: np.ndarray | None) -> Array:
    """Every sequence of `x`, shape (N, T, D), from its own last step to its first; padding stays where it is."""
    if lengths is None:
        return x[:, ::-1]
    xp, (N, T) = backend.array_module(x), x.shape[:2]
    t = np.arange(T)
    places = np.where(t < lengths[:, None], lengths[:, None] - 1 - t, t)  # (N, T)
    return x[xp.arange(N)[:, None], xp.asarray(places)]


def check_lengths(module: Module, lengths: Any, N: int, T: int) -> np.ndarray | None:
    """`lengths` as a NumPy array of N integers in 1..T, or None."""
    if lengths is None:
        return None
    title = type(module).__name__
    try:
        lengths = np.asarray(lengths if isinstance(lengths, (list, tuple)) else backend.to_numpy(lengths))
    except TypeError as error:
        raise TypeError(f"{title}: lengths: {error}") from None
    if lengths.shape != (N,) or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"{title}: lengths must be one integer for each of the {N} sequences, "
            f"got shape {lengths.shape} of {lengths.dtype}"
        )
    if lengths.min() < 1 or lengths.max() > T:
        raise ValueError(f"{title}: lengths must be in 1..{T}, got {lengths.min()}..{lengths.max()}")
    return lengths.astype(np.int64)


def as_tuple(state: Any) -> tuple[Array, ...]:
    """An LSTM's (h, c) as it is, an RNN's or GRU's h as (h,)."""
    return state if isinstance(state, tuple) else (state,)


def as_state(parts: list[Array]) -> Any:
    """The opposite of `as_tuple`."""
    return parts[0] if len(parts) == 1 else tuple(parts)

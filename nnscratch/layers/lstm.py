"""LSTM: the cell of lstm_cell.py over whole sequences, in several layers. The fast version.

The equations are LSTMCell's, layer upon layer: layer l reads the h of layer l-1. What is unlike the textbook, and why:

1. Features first while computing. One step is  W_hh (4H, H) @ h (H, N).  BLAS runs this shape up to twice as fast as
   h (N, H) @ W_hh^T,  and every gate is one contiguous block of the result. At rest, sequences are rows, (T, N, H).
2. A stretch of steps at a time. W_ih x in forward, and dW_ih, dW_hh and dx in backward, wait for no step before them:
   they are done for many steps in one product, at the machine's full speed. A stretch is as long as it takes to make
   that product efficient and no longer, so that its columns stay in the cache until each step has fetched its own.
3. One tanh for all gates. sigmoid(z) = 1/2 + tanh(z/2)/2: halve the rows of i, f and o, take tanh of all 4H rows in
   one call, and halve again.
4. No new arrays inside the loop over time: results go into buffers made before it (``out=``), and those are used
   again by the next forward (backend.Workspace).

    names       X (T*N, D)    h (T+1, N, H): h[t] before step t, h[t+1] after it    Z, dZ (4H, columns of a stretch)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, positive_int, probability
from ..init import uniform
from ..module import Module
from ..parameter import Parameter
from .directions import directions_backward, directions_forward, suffixes
from .dropout import dropout_mask
from .lstm_cell import check_pair

State = tuple[Array, Array]
STRETCH = 128  # columns of Z at a time, or 2H if that is more


class LSTM(Module):
    """Long short-term memory over a batch of sequences.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    dropout : float, 0 <= dropout < 1
        Probability of dropping each number that goes from one layer to the next, in training mode.
    bidirectional : bool
        Run each layer in both directions (see directions.py), with weights of their own; y is (N, T, 2H).
    rng : None, int or numpy.random.Generator
        Weights start uniform within 1/sqrt(H), as in PyTorch; dropout draws from it too.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l1, ... : Parameter
        Shapes (4H, D), (4H, H), (4H,), (4H,); gates in the order i, f, g, o. From layer 1 on, D is H (2H if
        bidirectional, where names end in ``_reverse`` for the second direction).

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> lstm = nn.LSTM(3, 5, num_layers=2, rng=0)
    >>> x = np.ones((4, 7, 3), dtype=np.float32)                        # (N, T, D)
    >>> y, (h, c) = lstm(x)
    >>> y.shape, h.shape
    ((4, 7, 5), (2, 4, 5))
    >>> dx, (dh, dc) = lstm.backward(np.ones_like(y))
    >>> dx.shape, dh.shape
    ((4, 7, 3), (2, 4, 5))
    """

    arguments = ("input_size", "hidden_size", "num_layers", "dropout", "bidirectional")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        *,
        bidirectional: bool = False,
        rng: None | int | np.random.Generator = None,
    ):
        self.input_size = positive_int("input_size", input_size)
        self.hidden_size = H = positive_int("hidden_size", hidden_size)
        self.num_layers = positive_int("num_layers", num_layers)
        self.dropout = probability("dropout", dropout)
        self.bidirectional = bool(bidirectional)
        self.rng = backend.generator(rng)
        self.workspace = backend.Workspace()
        bound = 1 / math.sqrt(H)
        for layer in range(num_layers):
            D = input_size if layer == 0 else H * (1 + self.bidirectional)
            shapes = {"weight_ih": (4 * H, D), "weight_hh": (4 * H, H), "bias_ih": (4 * H,), "bias_hh": (4 * H,)}
            for suffix in suffixes(layer, self.bidirectional):
                for name, shape in shapes.items():
                    setattr(self, f"{name}{suffix}", Parameter(uniform(shape, bound, self.rng)))

    @property
    def draws_random_numbers(self) -> bool:
        return self.dropout > 0

    def layer_parameters(self, layer: int) -> tuple[Parameter, Parameter, Parameter, Parameter]:
        """weight_ih, weight_hh, bias_ih and bias_hh of one layer."""
        return tuple(getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))

    def forward(self, x: Array, state: State | None = None, lengths: Any = None) -> tuple[Array, State]:
        """Run over the sequences.

        Parameters
        ----------
        x : array, shape (N, T, D)
        state : (h, c), each of shape (num_layers * directions, N, H), optional
            Where to start from; zero if not given.
        lengths : sequence of N integers in 1..T, optional
            How many steps each sequence has; what lies behind is padding and is never looked at.

        Returns
        -------
        y : array, shape (N, T, directions * H)
            The last layer's h at every step; zero on padding.
        state : (h, c), each of shape (num_layers * directions, N, H)
            Every layer's state after each sequence's last step: give it to the next call to go on from there.
        """
        N, T = self._check_input(x)
        xp, H = backend.array_module(x), self.hidden_size
        h0, c0 = self._check_state(state, x, N)
        if self.bidirectional or lengths is not None:
            return directions_forward(self, x, (h0, c0), lengths)
        h_last, c_last = xp.empty_like(h0), xp.empty_like(c0)

        X, caches = x.transpose(1, 0, 2).reshape(T * N, -1), []  # (T*N, D)
        for layer in range(self.num_layers):
            mask = None
            if layer > 0 and self.training and self.dropout > 0:
                mask = dropout_mask(X.shape, self.dropout, self.rng, like=x)
                X = X * mask
            h, c, *_ = buffers = self.workspace.take(x, *buffer_shapes(H, T, N))
            h[0], c[0] = h0[layer], c0[layer].T
            lstm_forward(X, *(parameter.data for parameter in self.layer_parameters(layer)), buffers)
            h_last[layer], c_last[layer] = h[T], c[T].T
            caches.append((X, mask, buffers))
            X = h[1:].reshape(T * N, H)
        y = h[1:].transpose(1, 0, 2).copy()  # (N, T, H); a copy always: the buffer is used again
        self.save_for_backward((N, T), caches)
        if not self.training:
            for _, _, buffers in caches:
                self.workspace.give(*buffers)
        return y, (h_last, c_last)

    def backward(self, dy: Array, dstate: State | None = None) -> tuple[Array, State]:
        """Backpropagation through time.

        Parameters
        ----------
        dy : array, shape (N, T, directions * H)
        dstate : (dh, dc), each of shape (num_layers * directions, N, H), optional
            The gradient with respect to the final state; zero if not given, which is truncated backpropagation.

        Returns
        -------
        dx : array, shape (N, T, D)
        dstate : (dh, dc), each of shape (num_layers * directions, N, H)
            The gradient with respect to the initial state.
        """
        shape, caches = self.saved()  # no shape: directions_forward's
        xp, H = backend.array_module(dy), self.hidden_size
        N, T = caches[2][:2] if shape is None else shape
        check_gradient(self, dy, (N, T, H * (1 + self.bidirectional)), self.weight_hh_l0.dtype)
        dh0, dc0 = (xp.zeros(self._state_shape(N), dtype=dy.dtype) for _ in range(2))
        if dstate is not None:
            check_pair(self, "dstate", dstate, "(dh, dc)")
            for name, ds, into in zip(("dh", "dc"), dstate, (dh0, dc0), strict=True):
                check_gradient(self, ds, into.shape, into.dtype, name)
                into[...] = ds
        if shape is None:
            return directions_backward(self, caches, dy, (dh0, dc0))

        dX = dy.transpose(1, 0, 2)  # (T, N, H)
        for layer in reversed(range(self.num_layers)):
            X, mask, buffers = caches[layer]
            dX, dh, dc = lstm_backward(dX, dh0[layer].T, dc0[layer].T, X, self.layer_parameters(layer), buffers)
            dh0[layer], dc0[layer] = dh.T, dc.T
            if mask is not None:
                dX *= mask
            dX = dX.reshape(T, N, -1)
        for _, _, buffers in caches:
            self.workspace.give(*buffers)
        return xp.ascontiguousarray(dX.transpose(1, 0, 2)), (dh0, dc0)

    def _check_input(self, x: Array) -> tuple[int, int]:
        check_floats(self, "x", x, like=self.weight_ih_l0)
        if x.ndim != 3 or x.shape[2] != self.input_size or 0 in x.shape:
            raise ValueError(
                f"LSTM({self.input_size}, {self.hidden_size}) needs x of shape (batch, time, {self.input_size}) "
                f"with at least one sequence and one step, got {x.shape}"
            )
        return x.shape[:2]

    def _check_state(self, state: State | None, x: Array, N: int) -> State:
        shape = self._state_shape(N)
        if state is None:
            xp = backend.array_module(x)
            return xp.zeros(shape, dtype=x.dtype), xp.zeros(shape, dtype=x.dtype)
        check_pair(self, "state", state, "(h, c)")
        for name, s in zip(("h", "c"), state, strict=True):
            check_floats(self, name, s, like=self.weight_ih_l0)
            if s.shape != shape:
                layers = "num_layers * 2" if self.bidirectional else "num_layers"
                raise ValueError(f"LSTM: {name} must be ({layers}, batch, hidden_size) = {shape}, got {s.shape}")
        return state

    def _state_shape(self, N: int) -> tuple[int, int, int]:
        return self.num_layers * (1 + self.bidirectional), N, self.hidden_size


def lstm_forward(X: Array, W_ih: Array, W_hh: Array, b_ih: Array, b_hh: Array, buffers: tuple) -> None:
    """One layer over T steps.

    Parameters
    ----------
    X : array, shape (T*N, D)
        Row t*N + n is sequence n at step t.
    W_ih, W_hh, b_ih, b_hh : array, shapes (4H, D), (4H, H), (4H,), (4H,)
    buffers : (h, c, tanh_c, gates, Z), of the shapes that `buffer_shapes` gives
        h[0] and c[0] hold the initial state; the rest is filled with what every step computes, Z is room to work in.
    """
    h, c, tanh_c, gates, Z = buffers
    xp = backend.array_module(X)
    T, H, N = tanh_c.shape
    b, temp = (b_ih + b_hh)[:, None], xp.empty((H, N), dtype=X.dtype)
    for t, column, stretch in steps_of(Z, T, N):
        if column == 0:
            share = Z[:, : (stretch.stop - stretch.start) * N]  # the input's share of z, for all steps of the stretch
            xp.matmul(W_ih, X[stretch.start * N : stretch.stop * N].T, out=share)
            share += b
        xp.matmul(W_hh, h[t].T, out=gates[t])
        z, share = gates[t].reshape(4, H, N), Z[:, column : column + N].reshape(4, H, N)
        step_forward(share, c[t], z, c[t + 1], tanh_c[t], h[t + 1].T, temp)


@backend.fused(
    "T share[4], T c",
    "T z[4], T c_new, T tanh_c, T h_new, T temp",
    """
    const T half = 0.5;
    z0 = half + half * tanh(half * (z0 + share0));      // i
    z1 = half + half * tanh(half * (z1 + share1));      // f
    z2 = tanh(z2 + share2);                             // g
    z3 = half + half * tanh(half * (z3 + share3));      // o
    c_new = z1 * c + z0 * z2;
    tanh_c = tanh(c_new);
    h_new = z3 * tanh_c;
    """,
)
def step_forward(share: Array, c: Array, z: Array, c_new: Array, tanh_c: Array, h_new: Array, temp: Array) -> None:
    """From z, the state's share of it and, in place, the gates, to the new state. `temp` is room to work in.

    z and share have shape (4, H, N), all others (H, N).
    """
    z += share
    z[:2] *= 0.5
    z[3] *= 0.5
    np.tanh(z, out=z)
    for s in (z[:2], z[3]):  # tanh(z/2) -> sigmoid(z)
        s *= 0.5
        s += 0.5
    i, f, g, o = z
    np.multiply(f, c, out=c_new)
    np.multiply(i, g, out=temp)
    c_new += temp
    np.tanh(c_new, out=tanh_c)
    np.multiply(o, tanh_c, out=temp)
    h_new[...] = temp


def lstm_backward(
    dY: Array, dh: Array, dc: Array, X: Array, parameters: tuple[Parameter, ...], buffers: tuple
) -> tuple[Array, Array, Array]:
    """One layer back through T steps; adds to the gradients of its parameters.

    Parameters
    ----------
    dY : array, shape (T, N, H)
        The gradient with respect to every step's h, from above.
    dh, dc : array, shape (H, N)
        The gradient with respect to the final state, from the right.
    X : array, shape (T*N, D)
    parameters : weight_ih, weight_hh, bias_ih and bias_hh
    buffers : as lstm_forward left them

    Returns
    -------
    dX : array, shape (T*N, D)
    dh, dc : array, shape (H, N)
        The gradient with respect to the initial state.
    """
    h, c, tanh_c, gates, dZ = buffers  # dZ takes the place of Z, which forward needs no more
    weight_ih, weight_hh, bias_ih, bias_hh = parameters
    xp = backend.array_module(dY)
    T, H, N = tanh_c.shape
    dX = xp.empty_like(X)
    dz, slope = (xp.empty((4, H, N), dtype=dY.dtype) for _ in range(2))
    dh, dc = xp.array(dh, order="C"), xp.array(dc, order="C")  # copies: changed in place below
    temp = xp.empty_like(dh)
    for t, column, stretch in reversed(steps_of(dZ, T, N)):
        column_dz = dZ[:, column : column + N].reshape(4, H, N)
        step_backward(dY[t].T, gates[t].reshape(4, H, N), c[t], tanh_c[t], dh, dc, dz, slope, temp, column_dz)
        xp.matmul(weight_hh.data.T, dz.reshape(4 * H, N), out=dh)
        if column == 0:  # dz is known for the whole stretch
            rows = slice(stretch.start * N, stretch.stop * N)
            share = dZ[:, : rows.stop - rows.start]
            weight_ih.add_product(share, X[rows])  # dW_ih += dZ X
            weight_hh.add_product(share, h[stretch].reshape(-1, H))  # dW_hh += dZ h, of before each step
            db = share @ xp.ones(share.shape[1], dtype=share.dtype)  # share.sum(axis=1), several times as fast
            bias_ih.grad += db
            bias_hh.grad += db
            xp.matmul(share.T, weight_ih.data, out=dX[rows])
    return dX, dh, dc


@backend.fused(
    "T dy, T z[4], T c, T tanh_c",
    "T dh, T dc, T dz[4], T slope[4], T temp, T column_dz[4]",
    """
    dh += dy;
    dc += dh * z3 * (1 - tanh_c * tanh_c);
    dz0 = dc * z2 * (z0 - z0 * z0);                     // di i (1 - i)
    dz1 = dc * c * (z1 - z1 * z1);                      // df f (1 - f)
    dz2 = dc * z0 * (1 - z2 * z2);                      // dg (1 - g^2)
    dz3 = dh * tanh_c * (z3 - z3 * z3);                 // do o (1 - o)
    dc *= z1;
    column_dz0 = dz0, column_dz1 = dz1, column_dz2 = dz2, column_dz3 = dz3;
    """,
)
def step_backward(
    dy: Array, z: Array, c: Array, tanh_c: Array, dh: Array, dc: Array, dz: Array, slope: Array, temp: Array,
    column_dz: Array,
) -> None:  # fmt: skip
    """From the gradients of a step's output and new state to dz and, in place, to dc of the old state.

    z, the gates, dz and slope have shape (4, H, N), all others (H, N); slope and temp are room to work in; column_dz is
    dz once more, at its place among those of the stretch.
    """
    i, f, g, o = z
    dh += dy
    # slope of each activation, from its output: s (1 - s) for the sigmoids, 1 - g^2 for the tanh
    np.multiply(z, z, out=slope)
    np.subtract(z[:2], slope[:2], out=slope[:2])
    np.subtract(1, slope[2], out=slope[2])
    np.subtract(o, slope[3], out=slope[3])
    # dc += dh * o * (1 - tanh_c^2)
    np.multiply(tanh_c, tanh_c, out=temp)
    np.subtract(1, temp, out=temp)
    temp *= dh
    temp *= o
    dc += temp
    np.multiply(dc, g, out=dz[0])  # di
    np.multiply(dc, c, out=dz[1])  # df
    np.multiply(dc, i, out=dz[2])  # dg
    np.multiply(dh, tanh_c, out=dz[3])  # do
    dz *= slope
    dc *= f
    column_dz[...] = dz


def steps_of(Z: Array, T: int, N: int) -> list[tuple[int, int, slice]]:
    """For every step: its number, its first column in the stretch's Z, and the steps of its stretch.

    Examples
    --------
    >>> steps_of(np.empty((4, 6)), T=5, N=2)[2:4]
    [(2, 4, slice(0, 3, None)), (3, 0, slice(3, 5, None))]
    """
    length = Z.shape[1] // N
    return [(t, t % length * N, slice(t - t % length, min(t - t % length + length, T))) for t in range(T)]


def buffer_shapes(H: int, T: int, N: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of what one layer keeps: h, c, tanh_c, gates, and Z for one stretch."""
    length = min(T, max(1, max(STRETCH, 2 * H) // N))
    return (T + 1, N, H), (T + 1, H, N), (T, H, N), (T, 4 * H, N), (4 * H, length * N)

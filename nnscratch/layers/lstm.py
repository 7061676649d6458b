"""LSTM: long short-term memory over whole sequences, in several layers. The fast version of :class:`LSTMCell`.

This file computes one layer in one direction. recurrent.py loops over layers, directions and segments of time, and
explains the differences from the textbook form. In most arrays, the feature axis comes before the batch axis:

    shapes      X (T, N, D)    h (T+1, N, H)    c (T+1, H, N)    U, dU (4H, steps * N)    gates, u, dz (4H, N)
                h[t] and c[t] are the state before step t, h[t+1] and c[t+1] the state after it
                gates i, f, g, o: rows 0..H, H..2H, 2H..3H, 3H..4H

    forward     U       = W_ih X^T + b_ih + b_hh                    for all steps of a chunk
                z       = u_t + W_hh h[t]^T                         at each step; u_t are the columns of step t in U
                i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
                g       = tanh(z_g)
                c[t+1]  = f * c[t] + i * g
                h[t+1]  = o * tanh(c[t+1])

    backward    dh  += dY[t]                                        dY[t] from the layer above, dh from step t+1
                dc  += dh * o * (1 - tanh(c[t+1])^2)
                dz_i = dc * g * i (1 - i)        dz_f = dc * c[t] * f (1 - f)
                dz_g = dc * i * (1 - g^2)        dz_o = dh * tanh(c[t+1]) * o (1 - o)
                dc   = dc * f                                       to step t-1
                dh   = W_hh^T dz
                dU   = all dz of a chunk, from which add_gradients computes dW_ih, dW_hh, db_ih, db_hh and dX
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import backend
from ..backend import Array
from .chunks import Parameters, add_gradients, by_step, chunks_backward, input_products
from .kernels import lstm as kernels
from .recurrent import Arrays, Recurrent


class LSTM(Recurrent):
    """Long short-term memory over a batch of sequences.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    dropout : float, 0 <= dropout < 1
        In training mode, the probability of zeroing each element that one layer passes to the next.
    bidirectional : bool
        Run each layer in both directions, with separate weights. y is then (N, T, 2H).
    rng : None, int or numpy.random.Generator
        Draws the weights, uniform from -1/sqrt(H) to 1/sqrt(H) as in PyTorch, and the dropout masks.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l1, ... : Parameter
        Shapes (4H, D), (4H, H), (4H,), (4H,). The gates have the order i, f, g, o. From layer 1 on, D is H, or 2H if
        bidirectional. The names of the second direction end in ``_reverse``.

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

    num_gates = 4
    state_names = ("h", "c")

    def buffer_shapes(self, T: int, N: int) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of h, c, tanh(c), the gates, one chunk of U or dU, and of the arrays of one step."""
        H = self.hidden_size
        columns = self.chunk_length(T, N) * N
        return (T + 1, N, H), (T + 1, H, N), (T, H, N), (T, 4 * H, N), (4 * H, columns), (3, H, N), (2, 4, H, N)

    def forget_gate_biases(self) -> list[tuple[Array, Array]]:
        """Return the forget gate's rows of bias_ih and bias_hh of each layer and direction, as views."""
        H, layers = self.hidden_size, range(self.num_layers)
        every = [self.layer_parameters(layer, direction) for layer in layers for direction in self._directions]
        return [(bias_ih.data[H : 2 * H], bias_hh.data[H : 2 * H]) for _, _, bias_ih, bias_hh in every]

    def layer_forward(self, X: Array, state: Arrays, parameters: Parameters, buffers: Arrays) -> tuple[Array, Arrays]:
        h, c, tanh_c, gates, chunk, (temp, _, _), _ = buffers
        W_ih, W_hh, b_ih, b_hh = [p.data for p in parameters]
        h[0], c[0] = state[0], state[1].T
        for steps, states, U in input_products(W_ih, b_ih + b_hh, X, chunk):
            run_forward(W_hh, by_step(U, 4, X.shape[1]), h[states], c[states], gates[steps], tanh_c[steps], temp)
        return h[1:], (h[-1], c[-1].T)

    def layer_backward(
        self, dY: Array, dstate: Arrays, X: Array, parameters: Parameters, buffers: Arrays
    ) -> tuple[Array, Arrays]:
        h, c, tanh_c, gates, chunk, (temp, dh, dc), (dz, slope) = buffers
        W_hh, dX = parameters[1].data, backend.array_module(X).empty_like(X)
        dh[...], dc[...] = (ds.T for ds in dstate)
        for steps, dU in chunks_backward(X, chunk):
            step_arrays = dY[steps], gates[steps], c[steps], tanh_c[steps], by_step(dU, 4, X.shape[1])
            run_backward(W_hh, *step_arrays, dh, dc, dz, slope, temp)
            add_gradients(parameters, dU, dU, X[steps], h[steps], dX[steps])
        return dX, (dh.T, dc.T)


@backend.recorded
def run_forward(
    matmul: Callable, W_hh: Array, U: Array, h: Array, c: Array, gates: Array, tanh_c: Array, temp: Array
) -> None:
    """Run the steps of one chunk. Time is the first axis of U (steps, 4, H, N), h, c, gates and tanh_c."""
    for t, u in enumerate(U):
        matmul(W_hh, h[t].T, out=gates[t])
        step_forward(u, c[t], gates[t].reshape(u.shape), c[t + 1], tanh_c[t], h[t + 1].T, temp)


@backend.recorded
def run_backward(
    matmul: Callable, W_hh: Array, dY: Array, gates: Array, c: Array, tanh_c: Array, dU: Array,
    dh: Array, dc: Array, dz: Array, slope: Array, temp: Array,
) -> None:  # fmt: skip
    """Run the steps of one chunk from the last to the first. Time is the first axis of dY, gates, c, tanh_c and dU."""
    for t in reversed(range(len(dU))):
        step_backward(dY[t].T, gates[t].reshape(dz.shape), c[t], tanh_c[t], dh, dc, dz, slope, temp, dU[t])
        matmul(W_hh.T, dz.reshape(gates[t].shape), out=dh)


@backend.fused(*kernels.STEP_FORWARD)
def step_forward(u: Array, c: Array, gates: Array, c_new: Array, tanh_c: Array, h_new: Array, temp: Array) -> None:
    """Compute the new state. `gates` is first W_hh h, then i, f, g, o. gates and u: (4, H, N); other arrays: (H, N)."""
    sigmoids = gates[:2], gates[3]  # the gates i and f, and the gate o
    gates += u
    for z in sigmoids:
        z *= 0.5
    np.tanh(gates, out=gates)
    for tanh in sigmoids:  # sigmoid(z) = 1/2 + tanh(z/2)/2
        tanh *= 0.5
        tanh += 0.5
    i, f, g, o = gates
    np.multiply(f, c, out=c_new)
    np.multiply(i, g, out=temp)
    c_new += temp
    np.tanh(c_new, out=tanh_c)
    np.multiply(o, tanh_c, out=temp)
    h_new[...] = temp


@backend.fused(*kernels.STEP_BACKWARD)
def step_backward(
    dy: Array, gates: Array, c: Array, tanh_c: Array, dh: Array, dc: Array, dz: Array, slope: Array, temp: Array,
    dz_copy: Array,
) -> None:  # fmt: skip
    """Compute dz, and dc of the old state in place. gates, dz, slope, dz_copy are (4, H, N), other arrays (H, N)."""
    i, f, g, o = gates
    dh += dy
    np.multiply(tanh_c, tanh_c, out=temp)  # dc += dh * o * (1 - tanh_c^2)
    np.subtract(1, temp, out=temp)
    temp *= dh
    temp *= o
    dc += temp
    np.multiply(gates, gates, out=slope)  # the slopes: s (1 - s) of the sigmoids, 1 - g^2 of the tanh
    np.subtract(gates[:2], slope[:2], out=slope[:2])
    np.subtract(1, slope[2], out=slope[2])
    np.subtract(o, slope[3], out=slope[3])
    np.multiply(dc, g, out=dz[0])
    np.multiply(dc, c, out=dz[1])
    np.multiply(dc, i, out=dz[2])
    np.multiply(dh, tanh_c, out=dz[3])
    dz *= slope
    dc *= f
    dz_copy[...] = dz

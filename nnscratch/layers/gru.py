"""GRU: gated recurrent units over whole sequences, in several layers. The fast version of :class:`GRUCell`.

This file computes one layer in one direction. recurrent.py loops over layers, directions and segments of time, and
explains the differences from the textbook form.

    shapes      X (T, N, D)    h (T+1, N, H)    hT (T+1, H, N)    U, dU, dV (3H, steps * N)
                gates, u, v, du, dv (3H, N)
                h[t] is the state before step t, h[t+1] the state after it; hT[t] is its transpose, h[t]^T
                gates r, z, n: rows 0..H, H..2H, 2H..3H

    forward     U       = W_ih X^T + b_ih + (b_hr, b_hz, 0)         for all steps of a chunk
                v       = W_hh hT[t] + (0, 0, b_hn)                 at each step; u_t are the columns of step t in U
                r, z    = sigmoid(u_r + v_r), sigmoid(u_z + v_z)
                n       = tanh(u_n + r * v_n)
                hT[t+1] = n + z * (hT[t] - n)

    backward    dh  += dY[t]                                        dY[t] from the layer above, dh from step t+1
                du_n = dh (1 - z) (1 - n^2)        du_z = dh (hT[t] - n) z (1 - z)       du_r = du_n v_n r (1 - r)
                dv   = du_r, du_z, du_n * r
                dh   = dh * z + W_hh^T dv                           to step t-1
                dU, dV = all du and dv of a chunk, from which add_gradients computes the rest
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import backend
from ..backend import Array
from .chunks import Parameters, add_gradients, by_step, chunks_backward, input_products
from .kernels import gru as kernels
from .recurrent import Arrays, Recurrent


class GRU(Recurrent):
    """Gated recurrent units over a batch of sequences.

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
        Shapes (3H, D), (3H, H), (3H,), (3H,). The gates have the order r, z, n. From layer 1 on, D is H, or 2H if
        bidirectional. The names of the second direction end in ``_reverse``.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> gru = nn.GRU(3, 5, num_layers=2, rng=0)
    >>> x = np.ones((4, 7, 3), dtype=np.float32)                        # (N, T, D)
    >>> y, h = gru(x)
    >>> y.shape, h.shape
    ((4, 7, 5), (2, 4, 5))
    >>> dx, dh = gru.backward(np.ones_like(y))
    >>> dx.shape, dh.shape
    ((4, 7, 3), (2, 4, 5))
    """

    num_gates = 3

    def buffer_shapes(self, T: int, N: int) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of h, hT, the gates, v_n, a chunk of U or dU, a chunk of dV, and the arrays of one step."""
        H = self.hidden_size
        columns = self.chunk_length(T, N) * N
        chunks = (3 * H, columns), (3 * H, columns)
        return (T + 1, N, H), (T + 1, H, N), (T, 3 * H, N), (T, H, N), *chunks, (2, H, N), (2, 3, H, N)

    def layer_forward(self, X: Array, state: Arrays, parameters: Parameters, buffers: Arrays) -> tuple[Array, Arrays]:
        h, hT, gates, v_n, chunk, *_ = buffers
        W_ih, W_hh, b_ih, b_hh = [p.data for p in parameters]
        H, N = v_n.shape[1:]
        hT[0] = state[0].T
        b, b_hn = b_ih.copy(), b_hh[2 * H :, None]
        b[: 2 * H] += b_hh[: 2 * H]
        for steps, states, U in input_products(W_ih, b, X, chunk):
            run_forward(W_hh, b_hn, by_step(U, 3, N), hT[states], gates[steps], v_n[steps])
            h[states] = hT[states].transpose(0, 2, 1)
        return h[1:], (h[-1],)

    def layer_backward(
        self, dY: Array, dstate: Arrays, X: Array, parameters: Parameters, buffers: Arrays
    ) -> tuple[Array, Arrays]:
        h, hT, gates, v_n, chunk, chunk_dV, (dh, temp), (du, dv) = buffers
        W_hh, N, dX = parameters[1].data, X.shape[1], backend.array_module(X).empty_like(X)
        dh[...] = dstate[0].T
        for steps, dU, dV in chunks_backward(X, chunk, chunk_dV):
            step_arrays = dY[steps], gates[steps], v_n[steps], hT[steps], by_step(dU, 3, N), by_step(dV, 3, N)
            run_backward(W_hh, *step_arrays, dh, du, dv, temp)
            add_gradients(parameters, dU, dV, X[steps], h[steps], dX[steps])
        return dX, (dh.T,)


@backend.recorded
def run_forward(matmul: Callable, W_hh: Array, b_hn: Array, U: Array, h: Array, gates: Array, v_n: Array) -> None:
    """Run the steps of one chunk. Time is the first axis of U (steps, 3, H, N), h, gates and v_n."""
    for t, u in enumerate(U):
        matmul(W_hh, h[t], out=gates[t])
        step_forward(u, b_hn, h[t], gates[t].reshape(u.shape), v_n[t], h[t + 1])


@backend.recorded
def run_backward(
    matmul: Callable, W_hh: Array, dY: Array, gates: Array, v_n: Array, h: Array, dU: Array, dV: Array,
    dh: Array, du: Array, dv: Array, temp: Array,
) -> None:  # fmt: skip
    """Run the steps of one chunk from the last to the first. Time is the first axis of dY, gates, v_n, h, dU and dV."""
    for t in reversed(range(len(dU))):
        step_backward(dY[t].T, gates[t].reshape(dv.shape), v_n[t], h[t], dh, du, dv, temp, dU[t], dV[t])
        matmul(W_hh.T, dv.reshape(gates[t].shape), out=temp)
        dh += temp


@backend.fused(*kernels.STEP_FORWARD)
def step_forward(u: Array, b_hn: Array, h: Array, gates: Array, v_n: Array, h_new: Array) -> None:
    """Compute the new state. `gates` is first W_hh h, and then r, z, n.

    u and gates are (3, H, N), b_hn is (H, 1), and all other arrays are (H, N).
    """
    np.add(gates[2], b_hn, out=v_n)
    rz = gates[:2]
    rz += u[:2]
    rz *= 0.5  # sigmoid(a) = 1/2 + tanh(a/2)/2
    np.tanh(rz, out=rz)
    rz *= 0.5
    rz += 0.5
    r, z, n = gates
    np.multiply(r, v_n, out=n)
    n += u[2]
    np.tanh(n, out=n)
    np.subtract(h, n, out=h_new)
    h_new *= z
    h_new += n


@backend.fused(*kernels.STEP_BACKWARD)
def step_backward(
    dy: Array, gates: Array, v_n: Array, h: Array, dh: Array, du: Array, dv: Array, temp: Array,
    du_copy: Array, dv_copy: Array,
) -> None:  # fmt: skip
    """Compute du and dv, and dh * z in place. gates, du, dv and their copies are (3, H, N), other arrays (H, N)."""
    (r, z, n), (du_r, du_z, du_n) = gates, du
    dh += dy
    np.subtract(1, z, out=temp)
    np.multiply(dh, temp, out=du_n)
    np.multiply(temp, z, out=du_z)
    du_z *= dh
    np.subtract(h, n, out=temp)
    du_z *= temp
    np.multiply(n, n, out=temp)
    np.subtract(1, temp, out=temp)
    du_n *= temp
    np.subtract(1, r, out=temp)
    np.multiply(du_n, v_n, out=du_r)
    du_r *= r
    du_r *= temp
    dv[:2] = du[:2]
    np.multiply(du_n, r, out=dv[2])
    du_copy[...] = du
    dv_copy[...] = dv
    dh *= z

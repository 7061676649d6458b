"""GRU: the cell of gru_cell.py over whole sequences, in several layers. The fast version.

The equations are GRUCell's, layer upon layer: layer l reads the h of layer l-1. Layers, directions and lengths are
recurrent.py's; here is one layer, features first, with the input's share U of all steps computed at once:

    forward     U = W_ih X + b_ih + (b_hr, b_hz, 0)             (3H, T*N)
                v = W_hh h[t]                                   (3H, N)     v_n += b_hn
                r, z = sigmoid(U_rz[t] + v_rz)                  one tanh for both, as in lstm.py
                n = tanh(U_n[t] + r * v_n)
                h[t+1] = n + z * (h[t] - n)

    backward    dh += dY[t]
                du_z = dh (h[t] - n) z (1 - z)      du_n = dh (1 - z) (1 - n^2)     du_r = du_n v_n r (1 - r)
                dv   = du_r, du_z, du_n * r
                dh   = dh * z + W_hh^T dv
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from .recurrent import Recurrent, padded


class GRU(Recurrent):
    """Gated recurrent units over a batch of sequences.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    dropout : float, 0 <= dropout < 1
        Probability of dropping each number that goes from one layer to the next, in training mode.
    bidirectional : bool
        Run each layer in both directions, with weights of their own; y is (N, T, 2H).
    rng : None, int or numpy.random.Generator
        Weights start uniform within 1/sqrt(H), as in PyTorch; dropout draws from it too.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l1, ... : Parameter
        Shapes (3H, D), (3H, H), (3H,), (3H,); gates in the order r, z, n. From layer 1 on, D is H (2H if
        bidirectional, where names end in ``_reverse`` for the second direction).

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

    gates = 3

    def buffer_shapes(self, T: int, N: int) -> tuple[tuple[int, ...], ...]:
        """h; the gates r, z, n of every step; v_n of every step; U, which becomes dU; and dV."""
        H = self.hidden_size
        return (H, T + 1, N), (T, 3 * H, N), (T, H, N), (3 * H, padded(T * N)), (3 * H, padded(T * N))

    def layer_forward(self, X: Array, W_ih: Array, W_hh: Array, b_ih: Array, b_hh: Array, buffers: tuple) -> None:
        """One layer over T steps: fills h[:, 1:] from X, shape (D, T*N), and h[:, 0]."""
        xp, (h, gates, v_n, U, _) = backend.array_module(X), buffers
        H, N = len(h), h.shape[2]
        U = U[:, : X.shape[1]]
        xp.matmul(W_ih, X, out=U)
        U += b_ih[:, None]
        U[: 2 * H] += b_hh[: 2 * H, None]
        b_hn = b_hh[2 * H :, None]
        for t in range(len(gates)):
            xp.matmul(W_hh, h[:, t], out=gates[t])
            u, v = U[:, t * N : (t + 1) * N].reshape(3, H, N), gates[t].reshape(3, H, N)
            step_forward(u, b_hn, h[:, t], v, v_n[t], h[:, t + 1])

    def layer_backward(self, dY: Array, dh: Array, W_hh: Array, buffers: tuple) -> tuple[Array, Array, Array]:
        """One layer back: dU and dV, shape (3H, T*N), and dh_0."""
        xp, (h, gates, v_n, dU, dV) = backend.array_module(dY), buffers
        H, T, N = dY.shape
        dU, dV = dU[:, : T * N], dV[:, : T * N]
        dv, temp = xp.empty((3, H, N), dtype=dY.dtype), xp.empty((H, N), dtype=dY.dtype)
        for t in reversed(range(T)):
            du, column_dv = (d[:, t * N : (t + 1) * N].reshape(3, H, N) for d in (dU, dV))
            step_backward(dY[:, t], gates[t].reshape(3, H, N), v_n[t], h[:, t], dh, du, dv, temp, column_dv)
            dh += xp.matmul(W_hh.T, dv.reshape(3 * H, N), out=temp)
        return dU, dV, dh


@backend.fused(
    "T u[3], T b_hn, T h",
    "T v[3], T v_n, T h_new",
    """
    const T half = 0.5;
    v_n = v2 + b_hn;
    v0 = half + half * tanh(half * (v0 + u0));          // r
    v1 = half + half * tanh(half * (v1 + u1));          // z
    v2 = tanh(v0 * v_n + u2);                           // n
    h_new = v2 + v1 * (h - v2);
    """,
)
def step_forward(u: Array, b_hn: Array, h: Array, v: Array, v_n: Array, h_new: Array) -> None:
    """From v, the state's share, in place to the gates r, z, n, and to the new state.

    u and v have shape (3, H, N), b_hn (H, 1), all others (H, N).
    """
    np.add(v[2], b_hn, out=v_n)
    rz, n = v[:2], v[2]
    rz += u[:2]
    rz *= 0.5  # sigmoid(a) = tanh(a/2)/2 + 1/2
    np.tanh(rz, out=rz)
    rz *= 0.5
    rz += 0.5
    r, z = rz
    np.multiply(r, v_n, out=n)
    n += u[2]
    np.tanh(n, out=n)
    np.subtract(h, n, out=h_new)
    h_new *= z
    h_new += n


@backend.fused(
    "T dy, T v[3], T v_n, T h",
    "T dh, T du[3], T dv[3], T temp, T column_dv[3]",
    """
    dh += dy;
    du1 = dh * (h - v2) * v1 * (1 - v1);                // du_z
    du2 = dh * (1 - v1) * (1 - v2 * v2);                // du_n
    du0 = du2 * v_n * v0 * (1 - v0);                    // du_r
    dv0 = du0;
    dv1 = du1;
    dv2 = du2 * v0;
    column_dv0 = dv0, column_dv1 = dv1, column_dv2 = dv2;
    dh *= v1;
    """,
)
def step_backward(
    dy: Array, v: Array, v_n: Array, h: Array, dh: Array, du: Array, dv: Array, temp: Array, column_dv: Array
) -> None:
    """From the gradient of a step's new state to du and dv, and, in place, to dh * z, dh's way past the weights.

    v, the gates r, z, n, and du and dv have shape (3, H, N), all others (H, N); temp is room to work in; column_dv is
    dv once more, at its place among those of all steps.
    """
    (r, z, n), (dv_r, dv_z, dv_n) = v, dv  # dv holds du until it is known
    dh += dy
    np.subtract(1, z, out=temp)
    np.multiply(dh, temp, out=dv_n)
    np.multiply(temp, z, out=dv_z)
    dv_z *= dh
    np.subtract(h, n, out=temp)
    dv_z *= temp
    np.multiply(n, n, out=temp)
    np.subtract(1, temp, out=temp)
    dv_n *= temp
    np.subtract(1, r, out=temp)
    np.multiply(dv_n, v_n, out=dv_r)
    dv_r *= r
    dv_r *= temp
    du[...] = dv
    dv_n *= r
    column_dv[...] = dv
    dh *= z

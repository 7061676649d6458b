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
            u = U[:, t * N : (t + 1) * N]
            v = gates[t]  # (3H, N): computed in place, from v to the gates
            xp.matmul(W_hh, h[:, t], out=v)
            xp.add(v[2 * H :], b_hn, out=v_n[t])
            rz, n = v[: 2 * H], v[2 * H :]
            rz += u[: 2 * H]
            rz *= 0.5  # sigmoid(a) = tanh(a/2)/2 + 1/2
            xp.tanh(rz, out=rz)
            rz *= 0.5
            rz += 0.5
            r, z = rz[:H], rz[H:]
            xp.multiply(r, v_n[t], out=n)
            n += u[2 * H :]
            xp.tanh(n, out=n)
            h_new = h[:, t + 1]
            xp.subtract(h[:, t], n, out=h_new)
            h_new *= z
            h_new += n

    def layer_backward(self, dY: Array, dh: Array, W_hh: Array, buffers: tuple) -> tuple[Array, Array, Array]:
        """One layer back: dU and dV, shape (3H, T*N), and dh_0."""
        xp, (h, gates, v_n, dU, dV) = backend.array_module(dY), buffers
        H, T, N = dY.shape
        dU, dV = dU[:, : T * N], dV[:, : T * N]
        du, temp = xp.empty((3 * H, N), dtype=dY.dtype), xp.empty((H, N), dtype=dY.dtype)
        du_r, du_z, du_n = (du[k * H : (k + 1) * H] for k in range(3))
        for t in reversed(range(T)):
            r, z, n = (gates[t, k * H : (k + 1) * H] for k in range(3))
            columns = slice(t * N, (t + 1) * N)
            dh += dY[:, t]
            xp.subtract(1, z, out=temp)  # 1 - z
            xp.multiply(dh, temp, out=du_n)
            xp.multiply(temp, z, out=du_z)
            du_z *= dh
            xp.subtract(h[:, t], n, out=temp)
            du_z *= temp
            xp.multiply(n, n, out=temp)
            xp.subtract(1, temp, out=temp)
            du_n *= temp
            xp.subtract(1, r, out=temp)
            xp.multiply(du_n, v_n[t], out=du_r)
            du_r *= r
            du_r *= temp
            dU[:, columns] = du
            du_n *= r  # from here on du is dv
            dV[:, columns] = du
            dh *= z
            dh += xp.matmul(W_hh.T, du, out=temp)
        return dU, dV, dh

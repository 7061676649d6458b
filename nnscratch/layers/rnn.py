"""RNN: the cell of rnn_cell.py over whole sequences, in several layers. The fast version.

The equations are RNNCell's, layer upon layer: layer l reads the h of layer l-1. Layers, directions and lengths are
recurrent.py's; here is one layer, features first, with the input's share Z of all steps computed at once:

    forward     Z    = W_ih X + b_ih + b_hh                     (H, T*N)
                h[t+1] = tanh(W_hh h[t] + Z[t])                 (H, N)      or max(., 0)

    backward    dh  += dY[t]                                    from above, added to what came from the right
                da   = dh * (1 - h[t+1]^2)                      or dh where h[t+1] > 0
                dh   = W_hh^T da                                to the left
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from .recurrent import Recurrent, padded
from .rnn_cell import check_nonlinearity


class RNN(Recurrent):
    """Elman's recurrent network over a batch of sequences.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    dropout : float, 0 <= dropout < 1
        Probability of dropping each number that goes from one layer to the next, in training mode.
    nonlinearity : {"tanh", "relu"}
    bidirectional : bool
        Run each layer in both directions, with weights of their own; y is (N, T, 2H).
    rng : None, int or numpy.random.Generator
        Weights start uniform within 1/sqrt(H), as in PyTorch; dropout draws from it too.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l1, ... : Parameter
        Shapes (H, D), (H, H), (H,), (H,). From layer 1 on, D is H (2H if bidirectional, where names end in
        ``_reverse`` for the second direction).

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> rnn = nn.RNN(3, 5, num_layers=2, rng=0)
    >>> x = np.ones((4, 7, 3), dtype=np.float32)                        # (N, T, D)
    >>> y, h = rnn(x)
    >>> y.shape, h.shape
    ((4, 7, 5), (2, 4, 5))
    >>> dx, dh = rnn.backward(np.ones_like(y))
    >>> dx.shape, dh.shape
    ((4, 7, 3), (2, 4, 5))

    Sequences of 7, 2, 3 and 1 steps in one batch, read from both ends:

    >>> y, h = nn.RNN(3, 5, bidirectional=True, rng=0)(x, lengths=[7, 2, 3, 1])
    >>> y.shape, bool(y[1, 2:].any())
    ((4, 7, 10), False)
    """

    arguments = ("input_size", "hidden_size", "num_layers", "dropout", "nonlinearity", "bidirectional")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        *,
        nonlinearity: str = "tanh",
        bidirectional: bool = False,
        rng: None | int | np.random.Generator = None,
    ):
        self.nonlinearity = check_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, dropout, bidirectional=bidirectional, rng=rng)

    def buffer_shapes(self, T: int, N: int) -> tuple[tuple[int, ...], ...]:
        """h, and Z, which becomes dA."""
        return (self.hidden_size, T + 1, N), (self.hidden_size, padded(T * N))

    def layer_forward(self, X: Array, W_ih: Array, W_hh: Array, b_ih: Array, b_hh: Array, buffers: tuple) -> None:
        """One layer over T steps: fills h[:, 1:] from X, shape (D, T*N), and h[:, 0]."""
        xp, (h, Z) = backend.array_module(X), buffers
        H, N = len(h), h.shape[2]
        Z = Z[:, : X.shape[1]]
        xp.matmul(W_ih, X, out=Z)
        Z += (b_ih + b_hh)[:, None]
        a = xp.empty((H, N), dtype=X.dtype)
        for t in range(h.shape[1] - 1):
            xp.matmul(W_hh, h[:, t], out=a)
            STEPS[self.nonlinearity][0](Z[:, t * N : (t + 1) * N], a, h[:, t + 1])

    def layer_backward(self, dY: Array, dh: Array, W_hh: Array, buffers: tuple) -> tuple[Array, Array, Array]:
        """One layer back: dA, shape (H, T*N), once for the input's share and once for the state's, and dh_0."""
        xp, (h, dA) = backend.array_module(dY), buffers
        H, T, N = dY.shape
        dA = dA[:, : T * N]
        da = xp.empty((H, N), dtype=dY.dtype)
        for t in reversed(range(T)):
            STEPS[self.nonlinearity][1](dY[:, t], h[:, t + 1], dh, da, dA[:, t * N : (t + 1) * N])
            xp.matmul(W_hh.T, da, out=dh)
        return dA, dA, dh


# One step's forward and backward, element by element; all arrays are (H, N). column is da once more, at its place among
# those of all steps.


@backend.fused("T z", "T a, T h", "h = tanh(a + z);")
def tanh_forward(z: Array, a: Array, h: Array) -> None:
    a += z
    np.tanh(a, out=h)


@backend.fused("T dy, T h", "T dh, T da, T column", "dh += dy; da = dh * (1 - h * h); column = da;")
def tanh_backward(dy: Array, h: Array, dh: Array, da: Array, column: Array) -> None:
    dh += dy
    np.multiply(h, h, out=da)
    np.subtract(1, da, out=da)
    da *= dh
    column[...] = da


@backend.fused("T z", "T a, T h", "a += z; h = a < (T)0 ? (T)0 : a;")
def relu_forward(z: Array, a: Array, h: Array) -> None:
    a += z
    np.maximum(a, 0, out=h)


@backend.fused("T dy, T h", "T dh, T da, T column", "dh += dy; da = h > 0 ? dh : (T)0; column = da;")
def relu_backward(dy: Array, h: Array, dh: Array, da: Array, column: Array) -> None:
    dh += dy
    np.multiply(dh, h > 0, out=da)
    column[...] = da


STEPS = {"tanh": (tanh_forward, tanh_backward), "relu": (relu_forward, relu_backward)}

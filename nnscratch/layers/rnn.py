"""RNN: Elman's recurrent network over whole sequences, in several layers. The fast version of :class:`RNNCell`.

This file computes one layer in one direction. recurrent.py loops over layers, directions and segments of time, and
explains the differences from the textbook form.

    shapes      X (T, N, D)    h (T+1, N, H)    hT (T+1, H, N)    U, dU (H, steps * N)    u, a, da (H, N)
                h[t] is the state before step t, h[t+1] the state after it; hT[t] is its transpose, h[t]^T

    forward     U       = W_ih X^T + b_ih + b_hh                    for all steps of a chunk
                a       = u_t + W_hh hT[t]                          at each step; u_t are the columns of step t in U
                hT[t+1] = tanh(a)                                   or max(a, 0)

    backward    dh += dY[t]                                         dY[t] from the layer above, dh from step t+1
                da  = dh * (1 - hT[t+1]^2)                          or dh where hT[t+1] > 0
                dh  = W_hh^T da                                     to step t-1
                dU  = all da of a chunk, from which add_gradients computes dW_ih, dW_hh, db_ih, db_hh and dX
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import backend
from ..backend import Array
from .chunks import Parameters, add_gradients, by_step, chunks_backward, input_products
from .kernels import rnn as kernels
from .recurrent import Arrays, Recurrent
from .rnn_cell import check_nonlinearity


class RNN(Recurrent):
    """Elman's recurrent network over a batch of sequences.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    dropout : float, 0 <= dropout < 1
        In training mode, the probability of zeroing each element that one layer passes to the next.
    nonlinearity : {"tanh", "relu"}
    bidirectional : bool
        Run each layer in both directions, with separate weights. y is then (N, T, 2H).
    rng : None, int or numpy.random.Generator
        Draws the weights, uniform from -1/sqrt(H) to 1/sqrt(H) as in PyTorch, and the dropout masks.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l1, ... : Parameter
        Shapes (H, D), (H, H), (H,), (H,). From layer 1 on, D is H, or 2H if bidirectional. The names of the second
        direction end in ``_reverse``.

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
        """Return the shapes of h, hT, one chunk of U or dU, and of the arrays of one step."""
        H = self.hidden_size
        columns = self.chunk_length(T, N) * N
        return (T + 1, N, H), (T + 1, H, N), (H, columns), (2, H, N)

    def layer_forward(self, X: Array, state: Arrays, parameters: Parameters, buffers: Arrays) -> tuple[Array, Arrays]:
        h, hT, chunk, _ = buffers
        W_ih, W_hh, b_ih, b_hh = [p.data for p in parameters]
        hT[0] = state[0].T
        run_forward = RUN_FORWARD[self.nonlinearity]
        for _, states, U in input_products(W_ih, b_ih + b_hh, X, chunk):
            run_forward(W_hh, by_step(U, 1, X.shape[1])[:, 0], hT[states])
            h[states] = hT[states].transpose(0, 2, 1)
        return h[1:], (h[-1],)

    def layer_backward(
        self, dY: Array, dstate: Arrays, X: Array, parameters: Parameters, buffers: Arrays
    ) -> tuple[Array, Arrays]:
        h, hT, chunk, (dh, da) = buffers
        W_hh, run_backward = parameters[1].data, RUN_BACKWARD[self.nonlinearity]
        dX = backend.array_module(X).empty_like(X)
        dh[...] = dstate[0].T
        for steps, dU in chunks_backward(X, chunk):
            run_backward(
                W_hh, dY[steps], hT[steps.start + 1 : steps.stop + 1], by_step(dU, 1, X.shape[1])[:, 0], dh, da
            )
            add_gradients(parameters, dU, dU, X[steps], h[steps], dX[steps])
        return dX, (dh.T,)


# One step, element by element. All arrays are (H, N). In forward, the array h is first W_hh h, and then the new h.


@backend.fused(*kernels.TANH_FORWARD)
def tanh_forward(u: Array, h: Array) -> None:
    h += u
    np.tanh(h, out=h)


@backend.fused(*kernels.TANH_BACKWARD)
def tanh_backward(dy: Array, h: Array, dh: Array, da: Array, da_copy: Array) -> None:
    dh += dy
    np.multiply(h, h, out=da)
    np.subtract(1, da, out=da)
    da *= dh
    da_copy[...] = da


@backend.fused(*kernels.RELU_FORWARD)
def relu_forward(u: Array, h: Array) -> None:
    h += u
    np.maximum(h, 0, out=h)


@backend.fused(*kernels.RELU_BACKWARD)
def relu_backward(dy: Array, h: Array, dh: Array, da: Array, da_copy: Array) -> None:
    dh += dy
    np.multiply(dh, h > 0, out=da)
    da_copy[...] = da


def forward_loop(step_forward: Callable) -> Callable:
    """Return a function that runs the steps of one chunk. Time is the first axis of U (steps, H, N) and of h."""

    @backend.recorded
    def run_forward(matmul: Callable, W_hh: Array, U: Array, h: Array) -> None:
        for t, u in enumerate(U):
            matmul(W_hh, h[t], out=h[t + 1])
            step_forward(u, h[t + 1])

    return run_forward


def backward_loop(step_backward: Callable) -> Callable:
    """Return a function that runs the steps of one chunk from the last to the first. h[t] is the state after step t."""

    @backend.recorded
    def run_backward(matmul: Callable, W_hh: Array, dY: Array, h: Array, dU: Array, dh: Array, da: Array) -> None:
        for t in reversed(range(len(dU))):
            step_backward(dY[t].T, h[t], dh, da, dU[t])
            matmul(W_hh.T, da, out=dh)

    return run_backward


RUN_FORWARD = {"tanh": forward_loop(tanh_forward), "relu": forward_loop(relu_forward)}
RUN_BACKWARD = {"tanh": backward_loop(tanh_backward), "relu": backward_loop(relu_backward)}

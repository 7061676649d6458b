"""Recurrent: the base class of RNN, GRU and LSTM. It loops over layers, directions and segments of time.

The equations of one layer are in rnn.py, gru.py and lstm.py. Inside the layer, time is the first axis of each array:

    X (T, N, D)     the input of a layer; in the first layer, this is x with its first two axes swapped
    Y (T, N, H)     its output, h at every step; in the last layer, this is y with its first two axes swapped

For speed, RNN, GRU and LSTM differ from the textbook form in four ways:

1. Chunks. Products that do not depend on the recurrence are computed for many steps at a time: see chunks.py.
2. Features first. BLAS computes W_hh (4H, H) @ h^T (H, N) up to twice as fast as h (N, H) @ W_hh^T. Each gate is one
   contiguous block of the result.
3. One call of tanh computes all gates of an LSTM, because sigmoid(z) = 1/2 + tanh(z/2)/2.
4. The loop over time creates no new arrays. Results are written into buffers (``out=``), which the next forward reuses.
   On a GPU, the whole loop is started with one call: see backend/graphs.py.

With ``bidirectional=True``, each layer runs twice, with different weights: from the first step to the last, and from
the last to the first. The second output is reversed in time and placed after the first along the last axis:

    forward     Y  = [ run(X),  reversed(run_reverse(reversed(X))) ]                    (T, N, 2H)
    backward    dX = run.backward(dY[.., :H]) + reversed(run_reverse.backward(reversed(dY[.., H:])))

Sequences of different lengths run in segments: see segments.py.

Reference: Schuster and Paliwal (1997), "Bidirectional recurrent neural networks", doi:10.1109/78.650093.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, check_is_pair, flag, positive_int, probability
from ..init import uniform
from ..module import Module
from ..parameter import Parameter
from ..per_example import spread_examples
from .chunks import Parameters
from .dropout import dropout_mask
from .segments import check_lengths, flipped, is_left, rolled, segments

Arrays = Sequence[Array]
Segment = tuple[Array, Arrays]  # what backward reads: X and the buffers
CHUNK_COLUMNS = 128  # the number of columns of U in one chunk; if 2H is larger, a chunk has 2H columns


class Recurrent(Module):
    """The base class of RNN, GRU and LSTM, which define `buffer_shapes`, `layer_forward` and `layer_backward`."""

    keeps_examples = True
    arguments = ("input_size", "hidden_size", "num_layers", "dropout", "bidirectional")
    num_gates = 1
    """G, the number of blocks of H rows in each weight."""
    state_names: tuple[str, ...] = ("state",)
    """The names of the state's arrays; ("h", "c") for an LSTM."""

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
        self.bidirectional = flag("bidirectional", bidirectional)
        self._directions = (0, 1) if bidirectional else (0,)  # 0: from the first step to the last, 1: the reverse
        self.rng = backend.generator(rng)
        self.workspace = backend.Workspace()
        rows, bound = self.num_gates * H, 1 / math.sqrt(H)
        for layer in range(num_layers):
            D = input_size if layer == 0 else H * len(self._directions)
            shapes = {"weight_ih": (rows, D), "weight_hh": (rows, H), "bias_ih": (rows,), "bias_hh": (rows,)}
            for direction in self._directions:
                for name, shape in shapes.items():
                    setattr(self, f"{name}{suffix(layer, direction)}", Parameter(uniform(shape, bound, self.rng)))

    @property
    def draws_random_numbers(self) -> bool:
        return self.dropout > 0

    def layer_parameters(self, layer: int, direction: int = 0) -> Parameters:
        """Return weight_ih, weight_hh, bias_ih and bias_hh of one layer. Direction 1 is the reverse direction."""
        end = suffix(layer, direction)
        return tuple([getattr(self, name + end) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")])

    def forward(
        self, x: Array, state: Any = None, lengths: Any = None, padding_side: str = "right"
    ) -> tuple[Array, Any]:
        """Run all layers over the sequences.

        Parameters
        ----------
        x : array, shape (N, T, D)
        state : array of shape (num_layers * directions, N, H), or for an LSTM a pair (h, c) of such arrays; optional
            The initial state. The default is zero.
        lengths : sequence of N integers in 1..T, optional
            The number of steps of each sequence. The other steps are padding and are never read.
        padding_side : {"right", "left"}
            "right" if the padding comes after each sequence, "left" if it comes before.

        Returns
        -------
        y : array, shape (N, T, directions * H)
            The last layer's h at every step, and zero on padding.
        state : like `state`
            Every layer's state after each sequence's last step. Pass it to the next call to continue the sequences.

        Examples
        --------
        Sequences of 7, 2, 3 and 1 steps in one batch:

        >>> import numpy as np, nnscratch as nn
        >>> x = np.ones((4, 7, 3), dtype=np.float32)
        >>> y, h = nn.RNN(3, 5, bidirectional=True, rng=0)(x, lengths=[7, 2, 3, 1])
        >>> y.shape, bool(y[1, 2:].any())
        ((4, 7, 10), False)
        """
        N, T = self._check_input(x)
        state = self._initial_state(state, x, N)
        lengths = None if lengths is None else check_lengths(self, lengths, N, T)
        directions, kept = self._directions, []
        left = is_left(padding_side) and lengths is not None
        X = x.transpose(1, 0, 2)  # (T, N, D)
        if left:
            X = rolled(X, lengths)
        for layer in range(self.num_layers):
            mask, outputs, runs = None, [], []
            if layer > 0 and self.training and not self.deterministic and self.dropout > 0:
                mask = dropout_mask(X.shape, self.dropout, self.rng, like=x)
                X = X * mask
            for direction in directions:
                own = [s[len(directions) * layer + direction] for s in state]  # views of `state`
                Y, run = self._run_forward(flipped(X, lengths) if direction else X, own, lengths, layer, direction)
                outputs.append(flipped(Y, lengths) if direction else Y)
                runs.append(run)
            kept.append((mask, runs))
            X = outputs[0] if len(outputs) == 1 else backend.array_module(x).concatenate(outputs, axis=2)
        if left:
            X = rolled(X, lengths, back=True)
        y = X.transpose(1, 0, 2).copy()  # (N, T, directions * H), a copy: the next forward may overwrite X
        self.save_for_backward((N, T), lengths, left, kept)
        if not self.training:
            self._give_back(kept)
        return y, self._public(state)

    def backward(self, dy: Array, dstate: Any = None) -> tuple[Array, Any]:
        """Backpropagation through time.

        Parameters
        ----------
        dy : array, shape (N, T, directions * H)
        dstate : like the final state, optional
            The gradient with respect to the final state. The default is zero, for truncated backpropagation.

        Returns
        -------
        dx : array, shape (N, T, D)
            Zero on padding.
        dstate : like the initial state
            The gradient with respect to the initial state.
        """
        if dstate is not None:
            dstate = self._as_tuple("dstate", dstate, "(dh, dc)")
        (N, T), lengths, left, kept = self.saved()
        H, directions = self.hidden_size, self._directions
        check_gradient(self, dy, (N, T, len(directions) * H), self.weight_hh_l0.dtype, more=dstate is not None)
        dstate = self._final_gradient(dstate, dy, N)
        dY = dy.transpose(1, 0, 2)  # (T, N, directions * H)
        if left:
            dY = rolled(dY, lengths)
        for layer in reversed(range(self.num_layers)):
            (mask, runs), dX = kept[layer], None
            for direction in reversed(directions):
                own = [ds[len(directions) * layer + direction] for ds in dstate]  # views of `dstate`
                part = dY[..., direction * H : (direction + 1) * H]
                part = flipped(part, lengths) if direction else part
                part = self._run_backward(part, own, lengths, layer, direction, runs[direction])
                part = flipped(part, lengths) if direction else part
                dX = part if dX is None else dX + part  # both directions read X: add their gradients
            if mask is not None:
                dX *= mask
            dY = dX
        self._give_back(kept)
        if left:
            dX = rolled(dX, lengths, back=True)
        return backend.array_module(dy).ascontiguousarray(dX.transpose(1, 0, 2)), self._public(dstate)

    # --- one layer, one direction, segment by segment ------------------------------------------------------------

    def _run_forward(
        self, X: Array, state: list[Array], lengths: np.ndarray | None, layer: int, direction: int
    ) -> tuple[Array, list[Segment]]:
        """Return Y, shape (T, N, H), and the segments. Write the final state into `state`, arrays of shape (N, H)."""
        parameters = self.layer_parameters(layer, direction)
        if lengths is None:
            Y, segment = self._segment_forward(X, state, parameters)
            return Y, [segment]
        xp, (T, N, _) = backend.array_module(X), X.shape
        Y, run = xp.zeros((T, N, self.hidden_size), dtype=X.dtype), []
        for steps, rows in segments(lengths, xp):
            active = [s[rows] for s in state]
            Y[steps, rows], segment = self._segment_forward(X[steps, rows], active, parameters)
            run.append(segment)
            for s, new in zip(state, active, strict=True):
                s[rows] = new
        return Y, run

    def _segment_forward(self, X: Array, state: list[Array], parameters: Parameters) -> tuple[Array, Segment]:
        """Return Y of one segment, and what backward reads. Write its final state into `state`."""
        X = backend.array_module(X).ascontiguousarray(X)
        buffers = self.workspace.take(X, *self.buffer_shapes(*X.shape[:2]))
        Y, final = self.layer_forward(X, state, parameters, buffers)
        for s, new in zip(state, final, strict=True):
            s[...] = new
        return Y, (X, buffers)

    def _run_backward(
        self, dY: Array, dstate: list[Array], lengths: np.ndarray | None, layer: int, direction: int, run: list[Segment]
    ) -> Array:
        """Return dX, shape (T, N, D). Write the gradient of the initial state into `dstate`."""
        parameters = self.layer_parameters(layer, direction)
        if lengths is None:
            return self._segment_backward(dY, dstate, parameters, *run)
        xp, (T, N, _) = backend.array_module(dY), dY.shape
        dX = xp.zeros((T, N, parameters[0].shape[1]), dtype=dY.dtype)
        for (steps, rows), segment in zip(reversed(segments(lengths, xp)), reversed(run), strict=True):
            active = [ds[rows] for ds in dstate]
            with spread_examples(parameters, rows, N):
                dX[steps, rows] = self._segment_backward(dY[steps, rows], active, parameters, segment)
            for ds, new in zip(dstate, active, strict=True):
                ds[rows] = new
        return dX

    def _segment_backward(self, dY: Array, dstate: list[Array], parameters: Parameters, segment: Segment) -> Array:
        """Return dX of one segment. Write the gradient of its initial state into `dstate`."""
        X, buffers = segment
        if backend.launch_bound(dY):  # copy dY into the workspace: CUDA graphs need the same addresses in every step
            (copy,) = self.workspace.take(dY, dY.shape)
            copy[...] = dY
            dX, initial = self.layer_backward(copy, dstate, X, parameters, buffers)
            self.workspace.give(copy)
        else:
            dX, initial = self.layer_backward(dY, dstate, X, parameters, buffers)
        for ds, new in zip(dstate, initial, strict=True):
            ds[...] = new
        return dX

    def chunk_length(self, T: int, N: int) -> int:
        """Return the number of steps in a chunk.

        On a CPU, a chunk has enough steps for efficient products, but so few that U stays in the cache. On a GPU, each
        chunk costs a dozen kernels. So one chunk has all T steps, unless U would take more than half a gigabyte.
        """
        H, like = self.hidden_size, self.weight_hh_l0.data
        columns = max(CHUNK_COLUMNS, 2 * H)
        if backend.launch_bound(like):
            columns = max(columns, backend.chunk_size(like, 0) // (4 * H))
        return min(T, max(1, columns // N))

    # --- what a subclass defines ---------------------------------------------------------------------------------

    def buffer_shapes(self, T: int, N: int) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the arrays that one layer fills in forward and reads in backward."""
        raise NotImplementedError

    def layer_forward(self, X: Array, state: Arrays, parameters: Parameters, buffers: Arrays) -> tuple[Array, Arrays]:
        """Run one layer over X, shape (T, N, D), from `state`, arrays of shape (N, H). Return Y and the final state.

        Fill `buffers`, arrays of the shapes that `buffer_shapes` returns. Y may be a view of one of them.
        """
        raise NotImplementedError

    def layer_backward(
        self, dY: Array, dstate: Arrays, X: Array, parameters: Parameters, buffers: Arrays
    ) -> tuple[Array, Arrays]:
        """Run one layer backward, and add to its parameters' gradients. Return dX and the initial state's gradient."""
        raise NotImplementedError

    # --- checks and states ---------------------------------------------------------------------------------------

    def _state_shape(self, N: int) -> tuple[int, int, int]:
        return self.num_layers * len(self._directions), N, self.hidden_size

    def _public(self, state: list[Array]) -> Any:
        """Return the state in the form of the public methods: one array, or a tuple of several arrays."""
        return state[0] if len(state) == 1 else tuple(state)

    def _as_tuple(self, name: str, state: Any, what: str) -> Arrays:
        if len(self.state_names) == 1:
            return (state,)
        check_is_pair(self, name, state, what)
        return tuple(state)

    def _check_input(self, x: Array) -> tuple[int, int]:
        check_floats(self, "x", x, like=self.weight_ih_l0)
        if x.ndim != 3 or x.shape[2] != self.input_size or 0 in x.shape:
            raise ValueError(
                f"{type(self).__name__}({self.input_size}, {self.hidden_size}) needs x of shape "
                f"(batch, time, {self.input_size}) with at least one sequence and one step, got {x.shape}"
            )
        return x.shape[:2]

    def _initial_state(self, state: Any, x: Array, N: int) -> list[Array]:
        """Return the initial state in new arrays."""
        shape = self._state_shape(N)
        if state is None:
            return [backend.array_module(x).zeros(shape, dtype=x.dtype) for _ in self.state_names]
        own = []
        for name, s in zip(self.state_names, self._as_tuple("state", state, "(h, c)"), strict=True):
            check_floats(self, name, s, like=self.weight_ih_l0)
            if s.shape != shape:
                layers = "num_layers * 2" if self.bidirectional else "num_layers"
                raise ValueError(
                    f"{type(self).__name__}: {name} must be ({layers}, batch, hidden_size) = {shape}, got {s.shape}"
                )
            own.append(s.copy())
        return own

    def _final_gradient(self, dstate: Any, dy: Array, N: int) -> list[Array]:
        """Return the gradient of the final state in new arrays."""
        shape = self._state_shape(N)
        if dstate is None:
            return [backend.array_module(dy).zeros(shape, dtype=dy.dtype) for _ in self.state_names]
        for name, ds in zip(self.state_names, dstate, strict=True):
            check_gradient(self, ds, shape, dy.dtype, f"d{name}", more=name != self.state_names[-1])
        return [ds.copy() for ds in dstate]

    def _give_back(self, kept: list) -> None:
        """Return every layer's buffers to the workspace, for the next forward."""
        for _, runs in reversed(kept):  # reversed, so that the next forward gives each layer the same buffers again
            for run in reversed(runs):
                for _, buffers in run:  # the buffers of each segment have their own shapes
                    self.workspace.give(*buffers)


def suffix(layer: int, direction: int) -> str:
    """Return PyTorch's ending for the names of a layer's parameters: ``_l0``, or ``_l0_reverse`` for direction 1."""
    return f"_l{layer}{'_reverse' * direction}"

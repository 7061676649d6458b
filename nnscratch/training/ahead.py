"""Steps asked of a GPU before the losses of the steps before them are known.

The host asks and goes on; the GPU computes in the order it was asked. To read a loss is to wait until everything before
it is done, and then the GPU waits for what it is asked next. But a step may be made only if loss and gradient are
finite. So the GPU is asked to look for itself:

    going = going and loss is finite and norm is finite         1 at first; once it is 0, it stays 0
    g     = g * max_norm / norm                                 only if going, and norm > max_norm
    w     = w after the optimiser's step                        only if going

Losses and norms stay there until somebody wants to see them, and are then read in one copy. If one is not finite, the
weights are still those from before its step, since no step after it was made either. What the host keeps (the number of
steps, the learning rate, random generators) is put back to where it was then, and the batch is gone through once more,
to see where it began.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from ..optim import Optimizer


class Asked(NamedTuple):
    """A step that was asked for: what it was given, and what the host kept before it."""

    inputs: Array
    targets: Array
    hidden: Any
    lr: float
    host: dict[str, Any]


class Ahead:
    """The steps asked for, and what the GPU has found of each.

    Parameters
    ----------
    like : array
        On the GPU that computes.
    generators : list of numpy.random.Generator
        What the model draws from.
    """

    ROOM = 64  # steps: so many are in vain if one is not finite
    HELD = 1 << 28  # bytes of their batches, which are kept to go through one again

    def __init__(self, like: Array, generators: list[np.random.Generator]):
        xp = backend.array_module(like)
        self.generators = generators
        self.asked: list[Asked] = []
        self.held = 0
        self.found = xp.zeros((self.ROOM, 2), dtype=np.float64)  # loss and norm of each
        self.factor = xp.ones(1, dtype=np.float64)
        self.going, self.clips = xp.ones(1, dtype=np.int32), xp.zeros(1, dtype=np.int32)

    @property
    def full(self) -> bool:
        """Whether the losses are to be read before another step is asked for."""
        return len(self.asked) == self.ROOM or self.held > self.HELD

    def step(
        self, asked: Asked, loss: Array, squares: list[Array], gradients: list[Array], max_norm: float, opt: Optimizer
    ) -> None:
        """Ask for `opt`'s step, if the loss and the root of the sum of `squares` are finite."""
        if isinstance(loss, float):  # a criterion of its user's own, that has waited
            loss = backend.array_module(self.found).full(1, loss)
        look(loss, sum(squares), max_norm, len(self.asked), self.going, self.clips, self.factor, self.found)
        if max_norm < math.inf:
            with backend.only_if(self.clips):
                scale_by(self.factor, gradients)
        with backend.only_if(self.going):
            opt.step()
        self.asked.append(asked)
        hidden = asked.hidden if isinstance(asked.hidden, tuple) else (asked.hidden,)
        self.held += sum(getattr(a, "nbytes", 0) for a in (asked.inputs, asked.targets, *hidden))

    def read(self) -> list[tuple[Asked, float, float]]:
        """All steps asked for, each with its loss and norm, for which this waits; they are forgotten here."""
        if not self.asked:
            return []
        found = backend.to_numpy(self.found).tolist()
        asked, self.asked, self.held = self.asked, [], 0
        self.going.fill(1)
        return [(one, *numbers) for one, numbers in zip(asked, found, strict=False)]


def can_go_ahead(model: Module, optimizer: Optimizer) -> bool:
    """Whether a step that must not be made would leave no trace: all is on a GPU, and changed by kernels that look.

    Not so where a layer keeps averages of what it sees (BatchNorm), or where the optimiser is one of its user's own.
    """
    kernels = type(optimizer).step is Optimizer.step and getattr(optimizer.update, "takes_lists", False)
    on_gpu = all(backend.launch_bound(p.data) and p.data.dtype != np.float16 for p in optimizer.parameters)
    return kernels and on_gpu and not any(model.named_buffers())


@backend.fused(
    "T loss, float64 squares, float64 max_norm, int64 k",
    "int32 going, int32 clips, float64 factor, raw float64 found",
    """
    const double norm = sqrt(squares);
    found[2 * k] = loss;
    found[2 * k + 1] = norm;
    going = going && isfinite((double)loss) && isfinite(norm);
    clips = going && norm > max_norm;
    factor = clips ? max_norm / norm : 1;
    """,
)
def look(
    loss: Array, squares: Array, max_norm: float, k: int, going: Array, clips: Array, factor: Array, found: Array
) -> None:
    """Write down loss and norm of step k, whether to make it, and by what to multiply its gradients."""
    norm = np.sqrt(np.float64(squares))
    found[k] = loss, norm
    going[:] = going & np.isfinite(loss) & np.isfinite(norm)
    clips[:] = going & (norm > max_norm)
    factor[:] = np.where(clips, max_norm / norm, 1)


@backend.fused("raw float64 factor", "T g", "g *= (T)factor[0];")
def scale_by(factor: Array, g: Array | list[Array]) -> None:
    """g = factor g, in place."""
    g *= g.dtype.type(factor[0])

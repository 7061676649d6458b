"""summary: a table of a model's layers, with output shapes, parameters, memory and floating-point operations.

`summary` runs a copy of the model on the given inputs and measures it. The memory that a layer saves for backward is
the size of the arrays on its stack. An array that two layers save is counted only once, for the first layer.

Only the operations of matrix products and convolutions in one forward pass are counted. These are nearly all
operations of the pass. A product of shapes (n, k) and (k, m) has n m k multiplications and n m k additions: 2 n m k
operations. A backward pass takes about twice as many operations, with one product for dx and one for dW.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import layers
from .backend import Array
from .layers.recurrent import Recurrent
from .module import Module
from .parameter import Parameter
from .record import Seen, record


@dataclass
class Row:
    """One module: dotted name, class, output shape, own parameters, bytes saved for backward, and operations."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    kept: int
    flops: int


@dataclass
class Summary:
    """The table that `summary` returns. Print it to see it."""

    rows: list[Row]
    parameter_bytes: int

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def kept(self) -> int:
        """The number of bytes that one forward pass saves for backward."""
        return sum(row.kept for row in self.rows)

    @property
    def flops(self) -> int:
        """The number of operations of one forward pass."""
        return sum(row.flops for row in self.rows)

    def __repr__(self) -> str:
        head = ("module", "output", "parameters", "kept", "FLOPs")
        cells = [
            (
                "  " * (row.name.count(".") + 1 if row.name else 0)
                + (f"({row.name.rpartition('.')[2]}) {row.kind}" if row.name else row.kind),
                "" if row.shape is None else str(row.shape),
                f"{row.parameters:,}" if row.parameters else "",
                in_bytes(row.kept) if row.kept else "",
                in_thousands(row.flops) if row.flops else "",
            )
            for row in self.rows
        ]
        foot = ("total", "", f"{self.parameters:,}", in_bytes(self.kept), in_thousands(self.flops))
        widths = [max(len(line[k]) for line in (head, *cells, foot)) for k in range(5)]
        rule = "-" * (sum(widths) + 8)

        def show(line: tuple[str, ...]) -> str:
            left = (cell.ljust(w) for cell, w in zip(line[:2], widths[:2], strict=True))
            right = (cell.rjust(w) for cell, w in zip(line[2:], widths[2:], strict=True))
            return "  ".join((*left, *right)).rstrip()

        memory = (
            f"training needs {in_bytes(2 * self.parameter_bytes)} for parameters and gradients, "
            f"and {in_bytes(self.kept)} for values that forward saves for backward"
        )
        return "\n".join([show(head), rule, *map(show, cells), rule, show(foot), memory])


def summary(model: Module, *inputs: Any) -> Summary:
    """Return a table of the layers of `model` and their cost on `inputs`.

    This runs a copy of the model, so the model itself does not change.

    Parameters
    ----------
    model : Module
    *inputs : arrays
        The arguments of the model's forward.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    >>> nn.summary(model, np.zeros((64, 784), dtype=np.float32))
    module        output     parameters     kept  FLOPs
    ---------------------------------------------------
    Sequential    (64, 10)
      (0) Linear  (64, 128)     100,480  196 KiB  12.8M
      (1) ReLU    (64, 128)               32 KiB
      (2) Linear  (64, 10)        1,290            164k
    ---------------------------------------------------
    total                       101,770  228 KiB  13.0M
    training needs 795 KiB for parameters and gradients, and 228 KiB for values that forward saves for backward
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary(model, *inputs): model must be a Module, got {type(model).__name__}")
    twin = copy.deepcopy(model).train()
    twin.zero_grad()
    with record(twin) as seen:
        twin(*inputs)
    counted: set[int] = set()
    rows = []
    for name, what in seen.items():
        module = what.module
        own = [p for p in vars(module).values() if isinstance(p, Parameter) and id(p) not in counted]
        counted |= {id(p) for p in own}
        kept = sum(a.nbytes for a in _arrays(module.__dict__.get("_stack", ()), counted))
        shape = getattr(what.output, "shape", None) if what.outputs else None
        rows.append(Row(name, type(module).__name__, shape, sum(p.size for p in own), kept, flops(what)))
    return Summary(rows, sum(p.data.nbytes for p in twin.parameters()))


def flops(seen: Seen) -> int:
    """Return the number of operations in all forward calls of a module. Modules inside it are not included."""
    for classes, count in COUNTS.items():
        if isinstance(seen.module, classes):
            return sum(
                count(seen.module, inputs, output) for inputs, output in zip(seen.inputs, seen.outputs, strict=True)
            )
    return 0


def _linear(module: Module, inputs: tuple, output: Array) -> int:
    return 2 * output.size * module.in_features


def _lora(module: Module, inputs: tuple, output: Array) -> int:
    # The inner Linear layer has its own row.
    return 0 if module.merged else 2 * (output.size + inputs[0].size) * module.rank


def _convolution(module: Module, inputs: tuple, output: Array) -> int:
    return 2 * output.size * module.weight.size // module.weight.shape[0]


def _recurrent(module: Module, inputs: tuple, output: Any) -> int:
    N, T = inputs[0].shape[:2]
    weights = sum(p.size for p in module.parameters() if len(p.shape) == 2)  # each matrix is used once in every step
    return 2 * N * T * weights


def _cell(module: Module, inputs: tuple, output: Any) -> int:
    return 2 * len(inputs[0]) * (module.weight_ih.size + module.weight_hh.size)


def _attention(module: Module, inputs: tuple, output: Any) -> int:
    x = inputs[0]
    N, T, D = x.shape
    S = inputs[1].shape[1] if len(inputs) > 1 and inputs[1] is not None else T
    return 2 * N * D * (T * D + 2 * S * D) + 2 * 2 * N * T * S * D  # projections; q k^T and A v


COUNTS: dict[Any, Callable[[Module, tuple, Any], int]] = {
    layers.Linear: _linear,
    layers.LoRA: _lora,
    (layers.Conv1d, layers.Conv2d): _convolution,
    Recurrent: _recurrent,
    (layers.RNNCell, layers.GRUCell, layers.LSTMCell): _cell,
    layers.MultiheadAttention: _attention,
}


def _arrays(value: Any, counted: set[int]) -> list[Array]:
    """Return the arrays in nested tuples and lists, without those in `counted`. A view counts as its whole array."""
    if isinstance(value, (tuple, list)):
        return [array for inner in value for array in _arrays(inner, counted)]
    if not hasattr(value, "nbytes") or not hasattr(value, "base"):
        return []
    while getattr(value.base, "nbytes", None) is not None and hasattr(value.base, "base"):
        value = value.base
    if id(value) in counted:
        return []
    counted.add(id(value))
    return [value]


def in_bytes(n: float) -> str:
    """Return a number of bytes as text, such as ``1.5 KiB`` for 1536."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if n >= 10 or unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError


def in_thousands(n: float) -> str:
    """Return a number as short text, such as ``12.8M`` for 12,845,056."""
    for unit in ("", "k", "M", "G", "T"):
        if n < 1000 or unit == "T":
            return f"{n:.0f}{unit}" if n >= 100 or not unit else f"{n:.1f}{unit}"
        n /= 1000
    raise AssertionError

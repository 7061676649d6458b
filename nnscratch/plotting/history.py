"""Loss curves of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..checks import one_of
from ..training.callbacks import UNITS
from ..training.history import History
from .style import BLUE, ORANGE, axes_or_new

LABELS = {"loss": "loss, mean over the targets", "bpc": "bits per character", "perplexity": "perplexity"}


def plot_history(history: History | Sequence[float], unit: str = "loss", ax: Any = None) -> Any:
    """Plot the training and validation loss over the steps.

    Parameters
    ----------
    history : History, or sequence of float
        The result of ``Trainer.fit``, or the loss of each step.
    unit : {"loss", "bpc", "perplexity"}
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import nnscratch as nn
    >>> ax = nn.plotting.plot_history(nn.training.History(loss=[2.0, 1.5, 1.2]))
    >>> ax.get_xlabel()
    'step'
    >>> ax = nn.plotting.plot_history([2.0, 1.5, 1.2])
    """
    if not isinstance(history, History):
        history = History(loss=_numbers(history))
    one_of("unit", unit, UNITS)
    if not history.loss:
        raise ValueError("plot_history: the history has no steps yet")
    ax = axes_or_new(ax)
    convert, form = UNITS[unit]
    loss = np.array(history.loss)
    steps = np.arange(1, len(loss) + 1)
    window = max(1, len(loss) // 60)
    ax.plot(steps, [convert(v) for v in loss], color=BLUE, linestyle="-", alpha=0.2, linewidth=0.6)
    smooth = np.convolve(loss, np.ones(window) / window, mode="valid")
    label = "training" if window == 1 else f"training, mean of {window} steps"
    ax.plot(steps[window - 1 :], [convert(v) for v in smooth], color=BLUE, linestyle="-", label=label)
    if history.valid:
        x, y = zip(*((record["step"], convert(record["loss"])) for record in history.valid), strict=True)
        ax.plot(x, y, color=ORANGE, linestyle="-", marker="o", markersize=4, label="validation")
        best = history.best
        ax.annotate(
            f"best {format(convert(best['loss']), form)}",
            (best["step"], convert(best["loss"])),
            xytext=(-4, 16),
            textcoords="offset points",
            ha="right",
            color=ORANGE,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
    ax.set_xlabel("step")
    ax.set_ylabel(LABELS[unit])
    shown = [convert(v) for v in smooth] + [convert(record["loss"]) for record in history.valid]
    shown = [v for v in shown if np.isfinite(v)]
    if shown:
        # The losses of the first steps are far above the rest and would compress the rest of the curve.
        top = np.quantile(shown, 0.98)
        ax.set_ylim(min(shown) - 0.05 * (top - min(shown)), top + 0.15 * (top - min(shown)) + 1e-9)
    ax.legend(frameon=False)
    return ax


def _numbers(losses: Any) -> list[float]:
    """Return the losses as a list of floats, or raise TypeError."""
    try:
        array = np.asarray(losses, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty((0, 0))
    if isinstance(losses, (str, bytes)) or array.ndim != 1:
        raise TypeError(
            f"plot_history draws a History, as Trainer.fit returns it, or a list of losses, not a "
            f"{type(losses).__name__}"
        )
    return array.tolist()

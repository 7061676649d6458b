"""Pictures. Every function draws into ``ax=`` (a new figure if none is given) and returns the Matplotlib axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .training.callbacks import UNITS
from .training.history import History

# Okabe and Ito's colours, told apart with any colour vision; the order also differs in lightness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"

LABELS = {"loss": "cross-entropy (nats)", "bpc": "bits per character", "perplexity": "perplexity"}


def new_axes(width: float = 7.0, height: float = 4.0) -> Any:
    """Axes of a new figure, without touching pyplot's global state (a program without a screen has none)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_history(history: History, unit: str = "loss", ax: Any = None) -> Any:
    """Training and validation loss over the steps.

    Parameters
    ----------
    history : History
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
    """
    ax = new_axes() if ax is None else ax
    convert, form = UNITS[unit]
    loss = np.array(history.loss)
    steps = np.arange(1, len(loss) + 1)
    window = max(1, len(loss) // 60)
    ax.plot(steps, [convert(v) for v in loss], color=BLUE, alpha=0.2, linewidth=0.6)
    smooth = np.convolve(loss, np.ones(window) / window, mode="valid")
    ax.plot(steps[window - 1 :], [convert(v) for v in smooth], color=BLUE, label=f"training, mean of {window} steps")
    if history.valid:
        x, y = zip(*((record["step"], convert(record["loss"])) for record in history.valid), strict=True)
        ax.plot(x, y, color=ORANGE, marker="o", markersize=4, label="validation")
        best = history.best
        ax.annotate(
            f"best {format(convert(best['loss']), form)}",
            (best["step"], convert(best["loss"])),
            xytext=(-4, 16),
            textcoords="offset points",
            ha="right",
            color=ORANGE,
        )
    ax.set_xlabel("step")
    ax.set_ylabel(LABELS[unit])
    shown = [convert(v) for v in smooth] + [convert(record["loss"]) for record in history.valid]
    if shown:
        # The first steps are high above the rest: the axis shows most of the way, not the fall at its start.
        top = np.quantile(shown, 0.98)
        ax.set_ylim(min(shown) - 0.05 * (top - min(shown)), top + 0.15 * (top - min(shown)) + 1e-9)
    ax.legend(frameon=False)
    return ax


def save_figure(ax: Any, path: Any) -> None:
    """Write the figure that `ax` is in, as PNG, whole or not at all."""
    import io

    from .serialization import write_atomically

    content = io.BytesIO()
    ax.figure.savefig(content, format="png", dpi=120)
    write_atomically(path, content.getvalue())

"""The common style of the plots: colours, new axes, and saving a figure."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np

from ..checks import finite
from ..serialization import write_atomically

# Okabe and Ito's colours, which people with colour blindness can tell apart. Neighbours in COLOURS also differ in
# lightness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
COLOURS = (BLUE, "#E69F00", GREEN, "#CC79A7", "#56B4E9", ORANGE, "#F0E442", "#000000")
MARKERS = "os^Dv*PX"
LINES = ("-", "--", "-.", ":")
MAP = "cividis"  # from dark to light, so it can be read with colour blindness and in black-and-white print
SIGNED_MAP = "RdBu_r"  # blue below 0, white at 0, red above


def new_axes(width: float = 7.0, height: float = 4.0) -> Any:
    """Return the axes of a new figure. This function does not use pyplot, so it also works without a screen.

    Parameters
    ----------
    width, height : float
        The size of the figure in inches.

    Examples
    --------
    >>> ax = new_axes(5, 3)
    >>> print(ax.figure.get_size_inches())
    [5. 3.]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def axes_or_new(ax: Any, width: float = 7.0, height: float = 4.0) -> Any:
    """Return `ax`, or the axes of a new figure if `ax` is None. Raise TypeError if it is something else."""
    if ax is not None:
        _check_axes(ax)
    return new_axes(width, height) if ax is None else ax


def _check_axes(ax: Any) -> None:
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes, such as pyplot.gca(), got {type(ax).__name__}")


def limits(name: str, value: Any) -> tuple[float, float]:
    """Return the two ends of an axis, or raise unless they are finite numbers in ascending order."""
    pair = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else ()
    if len(pair) != 2:
        raise ValueError(f"{name} must be two numbers, got {value!r}")
    low, high = (finite(name, end) for end in pair)
    if not low < high:
        raise ValueError(f"{name} must be two numbers, the lower one first, got {value!r}")
    return low, high


def use_style() -> None:
    """Use the style of this package for all Matplotlib figures. In a notebook, figures are shown as PNGs.

    Call it once, at the top of a notebook. Colours and line styles change together, so you can tell lines apart without
    colours. To show a figure made by this package, make ``ax.figure`` the last line of a cell. A figure made with
    ``pyplot`` is shown automatically.

    Examples
    --------
    >>> import matplotlib, nnscratch as nn
    >>> with matplotlib.rc_context():
    ...     nn.plotting.use_style()
    ...     matplotlib.rcParams["image.cmap"]
    'cividis'
    """
    import matplotlib as mpl
    from cycler import cycler

    lines = [LINES[i % len(LINES)] for i in range(len(COLOURS))]
    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS, linestyle=lines),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "figure.facecolor": "white",  # the colours are for a white background, even on a dark page
            "figure.figsize": (7.0, 4.0),
            "image.cmap": MAP,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "svg.hashsalt": "nnscratch",  # fixed ids in SVG files: the same figure gives the same file
        }
    )
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
        from IPython.core.pylabtools import select_figure_formats

        shell.run_line_magic("matplotlib", "inline")
        # Omit Matplotlib's version from the file, so that the same picture always gives the same bytes.
        select_figure_formats(shell, {"png"}, facecolor="white", metadata={"Software": None})


def ink_on(colour: tuple[float, ...]) -> str:
    """Return "black" or "white": the one that is easier to read on `colour`."""
    r, g, b = colour[:3]
    return "black" if 0.299 * r + 0.587 * g + 0.114 * b > 0.5 else "white"


def shown(token: str) -> str:
    """Return the token with visible signs for spaces, tabs and line breaks."""
    return token.replace(" ", "\u2423").replace("\n", "\u21b5").replace("\t", "\u21e5")


def save_figure(ax: Any, path: Any) -> None:
    """Save the figure of `ax` as PNG. If saving fails, no partial file remains.

    Parameters
    ----------
    ax : matplotlib Axes
    path : str or path-like

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "picture.png"
    >>> save_figure(new_axes(), path)
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    _check_axes(ax)
    content = io.BytesIO()
    ax.figure.savefig(content, format="png", dpi=120)
    write_atomically(path, content.getvalue())

"""What all pictures share: colours, fresh axes, and a file written whole."""

from __future__ import annotations

import io
import sys
from typing import Any

from ..serialization import write_atomically

# Okabe and Ito's colours, told apart with any colour vision; the order also differs in lightness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
COLOURS = (BLUE, "#E69F00", GREEN, "#CC79A7", "#56B4E9", ORANGE, "#F0E442", "#000000")
MARKERS = "os^Dv*PX"
LINES = ("-", "--", "-.", ":")
MAP = "cividis"  # numbers as colours: from dark to light for every eye, and in print without colours


def new_axes(width: float = 7.0, height: float = 4.0) -> Any:
    """Axes of a new figure, without touching pyplot's global state (a program without a screen has none).

    Parameters
    ----------
    width, height : float
        Of the figure, in inches.

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


def use_style() -> None:
    """Give every Matplotlib figure the look of this package's own; in a notebook, also show figures as small PNGs.

    Colours, markers and line styles change together, so lines are told apart without colours too. Called once, at a
    notebook's top. A figure made by a function of this package shows when it is the last line of a cell
    (``ax.figure``); one made with ``pyplot`` shows by itself.

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
            "figure.facecolor": "white",  # also on a dark page: the colours were chosen for white
            "figure.figsize": (7.0, 4.0),
            "image.cmap": MAP,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "svg.hashsalt": "nnscratch",  # ids in an SVG would be drawn anew each time
        }
    )
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
        from IPython.core.pylabtools import select_figure_formats

        shell.run_line_magic("matplotlib", "inline")
        # Without the program's version in it a picture drawn again is the same file.
        select_figure_formats(shell, {"png"}, facecolor="white", metadata={"Software": None})


def ink_on(colour: tuple[float, ...]) -> str:
    """Black or white, whichever is easier to read on `colour`."""
    r, g, b = colour[:3]
    return "black" if 0.299 * r + 0.587 * g + 0.114 * b > 0.5 else "white"


def shown(token: str) -> str:
    """A token as it can be seen: blanks and line ends get a sign."""
    return token.replace(" ", "\u2423").replace("\n", "\u21b5").replace("\t", "\u21e5")


def save_figure(ax: Any, path: Any) -> None:
    """Write the figure that `ax` is in, as PNG, whole or not at all.

    Parameters
    ----------
    ax : matplotlib Axes
        As the functions here return them.
    path : path

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "picture.png"
    >>> save_figure(new_axes(), path)
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    content = io.BytesIO()
    ax.figure.savefig(content, format="png", dpi=120)
    write_atomically(path, content.getvalue())

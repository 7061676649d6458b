"""What all pictures share: colours, fresh axes, and a file written whole."""

from __future__ import annotations

import io
from typing import Any

from ..serialization import write_atomically

# Okabe and Ito's colours, told apart with any colour vision; the order also differs in lightness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
COLOURS = (BLUE, "#E69F00", GREEN, "#CC79A7", "#56B4E9", ORANGE, "#F0E442", "#000000")
MARKERS = "os^Dv*PX"
LINES = ("-", "--", "-.", ":")
MAP = "cividis"  # numbers as colours: from dark to light for every eye, and in print without colours


def new_axes(width: float = 7.0, height: float = 4.0) -> Any:
    """Axes of a new figure, without touching pyplot's global state (a program without a screen has none)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def ink_on(colour: tuple[float, ...]) -> str:
    """Black or white, whichever is easier to read on `colour`."""
    r, g, b = colour[:3]
    return "black" if 0.299 * r + 0.587 * g + 0.114 * b > 0.5 else "white"


def shown(token: str) -> str:
    """A token as it can be seen: blanks and line ends get a sign."""
    return token.replace(" ", "\u2423").replace("\n", "\u21b5").replace("\t", "\u21e5")


def save_figure(ax: Any, path: Any) -> None:
    """Write the figure that `ax` is in, as PNG, whole or not at all."""
    content = io.BytesIO()
    ax.figure.savefig(content, format="png", dpi=120)
    write_atomically(path, content.getvalue())

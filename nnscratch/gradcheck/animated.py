"""The animation of a gradient check, one picture for each element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..plotting import BLUE, GREY, ORANGE, Animation
from .verdict import out_of_tolerance

if TYPE_CHECKING:
    from .report import Entry

MAX_ELEMENTS = 60
RTOL = 1e-6  # the default tolerance of `check_gradients`


def animate_entry(entry: Entry) -> Animation:
    """Return the animation of `entry`: see `Entry.animate`."""
    analytic, numeric = np.asarray(entry.analytic), np.asarray(entry.numeric)
    measured = [index for index in np.ndindex(numeric.shape) if np.isfinite(numeric[index])][:MAX_ELEMENTS]
    if not measured or analytic.shape != numeric.shape or analytic.dtype.kind not in "fiub":
        raise ValueError(f"no element of {entry.name} was compared: {entry.reason or entry.verdict}")
    a, n = (np.array([array[index] for index in measured]) for array in (analytic, numeric))
    scale = max(float(np.abs(n).max()), float(np.abs(a).max(where=np.isfinite(a), initial=0.0)), 1e-300)
    outside = set(out_of_tolerance(entry, RTOL)) if entry.verdict == "wrong" else set()
    wrong = np.array([index in outside for index in measured])

    def draw(figure: Any, k: int) -> None:
        ax = figure.add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
        seen = np.arange(k + 1)
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.bar(seen, n[: k + 1], color=GREY, width=0.6, label="finite differences")
        for bad, colour, marker, name in (
            (False, BLUE, "o", "backward, equal"),
            (True, ORANGE, "X", "backward, differs"),
        ):
            chosen = seen[wrong[: k + 1] == bad]
            ax.plot(chosen, a[chosen], marker, color=colour, label=name)
        ax.set_xlim(-0.7, len(measured) - 0.3)
        ax.set_ylim(-1.15 * scale, 1.15 * scale)
        index = ", ".join(map(str, measured[k]))
        ax.set_title(f"{entry.name}[{index}]: backward {a[k]:.6g}, finite differences {n[k]:.6g}", fontsize=11)
        ax.set_xlabel("element")
        ax.set_ylabel("gradient")
        ax.legend(fontsize=8, loc="upper right", ncols=3)

    labels = [
        f"[{', '.join(map(str, i))}]: {'wrong' if bad else 'right'}" for i, bad in zip(measured, wrong, strict=True)
    ]
    return Animation(draw, labels, alt="bars for finite differences, and a mark for the gradient from backward", fps=3)

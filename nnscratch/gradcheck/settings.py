"""Settings: the options of `check_gradients`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MODES = ("auto", "full", "sampled", "directional")


@dataclass
class Settings:
    """The options of :func:`check_gradients`, which documents them.

    Raises
    ------
    ValueError
        An option has a value that is not allowed.
    """

    mode: str = "auto"
    samples: int = 20
    directions: int = 2
    rtol: float | None = None
    only: Sequence[str] | None = None
    diagnose: bool = True

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {self.mode!r}")
        for name, value in (("samples", self.samples), ("directions", self.directions)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}")
        if self.rtol is not None and not 0 < self.rtol < 1:
            raise ValueError(f"rtol must lie between 0 and 1, got {self.rtol!r}")

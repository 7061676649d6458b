"""The decorator that turns one builder of code into planted mistakes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..planted import Planted

MISTAKES: list[Planted] = []
CORRECT: list[tuple] = []


def variants(form: str, **names: str | tuple[str, ...]) -> Callable:
    """Add the code that `build(kind)` returns to `MISTAKES`, for every kind, and ``build("")`` to `CORRECT`.

    Parameters
    ----------
    form : str
        The form of the code, for the table.
    **names : str or tuple of str
        For each kind, the name of the mistake; further names in a tuple are equivalent.
    """

    def keep(build: Callable) -> Callable:
        for kind, name in names.items():
            name, *also = (name,) if isinstance(name, str) else name
            target, inputs, options = build(kind)
            what = f"{build.__name__}: {kind.replace('_', ' ')}"
            MISTAKES.append(Planted(name, what, target, inputs, also=tuple(also), options=options, area=form))
        CORRECT.append((form, *build("")))
        return build

    return keep


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)

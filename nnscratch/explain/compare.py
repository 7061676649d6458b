"""Compare the explanations that different methods give for the same predictions, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_instance
from ..module import Module
from .agreement import rank_correlation
from .curves import area, deletion_curve, insertion_curve
from .gradient_x_input import gradient_x_input
from .input_gradients import input_gradients
from .integrated_gradients import integrated_gradients
from .occlusion import occlusion
from .sanity import sanity_check
from .scores import Target
from .smooth_grad import smooth_grad

Method = Callable[[Module, Array, Target], Array]


@dataclass
class Comparison:
    """The table that `compare` returns. Print it.

    Attributes
    ----------
    attributions : dict of str to array
        The explanations, by the name of the method.
    deletion, insertion : dict of str to float
        The area under the deletion or insertion curve, averaged over the examples.
    randomised : dict of str to float
        The rank correlation with the explanation of a model with shuffled weights, averaged over the examples.
    agreement : array, shape (M, M)
        The rank correlation between two methods, averaged over the examples.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.array([[1.0, 2.0]])
    >>> methods = {"x": lambda model, x, target: x}
    >>> nn.explain.compare(nn.Linear(2, 1).to(dtype=np.float64), x, 0, methods).randomised["x"]
    1.0
    """

    attributions: dict[str, Array]
    deletion: dict[str, float]
    insertion: dict[str, float]
    randomised: dict[str, float]
    agreement: np.ndarray

    def __str__(self) -> str:
        names = list(self.attributions)
        width = max(map(len, [*names, "method"])) + 3
        head = f"{'method':<{width + 3}}{'deletion':>10}{'insertion':>11}{'randomised':>12}   agreement with"
        lines = [head + "".join(f"{number:>7}" for number in range(1, len(names) + 1))]
        for number, name in enumerate(names):
            values = f"{self.deletion[name]:10.3f}{self.insertion[name]:11.3f}{self.randomised[name]:12.2f}"
            agreement = "".join(f"{r:7.2f}" for r in self.agreement[number])
            lines.append(f"{number + 1:>2} {name:<{width}}{values}{'':17}{agreement}")
        lines.append("deletion: lower is better; insertion: higher is better. Compare both with random.")
        lines.append("randomised: must be near 0; near 1, the explanation does not depend on the weights.")
        return "\n".join(lines)


def compare(
    model: Module,
    x: Array,
    target: Target,
    methods: dict[str, Method] | None = None,
    baseline: Any = None,
    steps: int = 20,
    rng: None | int | np.random.Generator = 0,
) -> Comparison:
    """Explain the same predictions with several methods, and measure the explanations.

    Parameters
    ----------
    model, x, target
        See `input_gradients`. Use several examples: the table shows means.
    methods : dict of str to function, optional
        Each function takes model, x and target, and returns attributions in the shape of x. The default is occlusion,
        the methods that use gradients, and ``"random"``: random numbers, which explain nothing.
    baseline : number or array, optional
        The values that replace elements in the curves: see `occlusion`.
    steps : int
        The number of steps of the curves.
    rng : None, int or numpy.random.Generator
        The source of the shuffled weights and of the random numbers, or its seed.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> images, labels = nn.data.load_digits()
    >>> table = nn.explain.compare(nn.models.MLP([64, 16, 10], rng=0), images[:4], labels[:4])
    >>> print(str(table).splitlines()[0][:50])
    method                      deletion  insertion  r
    >>> table.insertion["occlusion"] > table.insertion["random"]
    True
    """
    check_instance("compare", "model", model, Module)
    rng = backend.generator(rng)
    methods = default_methods(rng) if methods is None else methods
    if not isinstance(methods, dict) or not methods:
        raise ValueError(f"methods must be a dict {{name: method}} with at least one method, got {methods!r}")
    attributions = {name: method(model, x, target) for name, method in methods.items()}
    deletion, insertion, randomised = {}, {}, {}
    for name, a in attributions.items():
        deletion[name] = float(area(deletion_curve(model, x, target, a, baseline, steps)).mean())
        insertion[name] = float(area(insertion_curve(model, x, target, a, baseline, steps)).mean())
        randomised[name] = float(sanity_check(model, x, target, methods[name], rng).mean())
    every = list(attributions.values())
    agreement = np.array([[rank_correlation(a, b).mean() for b in every] for a in every])
    return Comparison(attributions, deletion, insertion, randomised, agreement)


def default_methods(rng: np.random.Generator) -> dict[str, Method]:
    return {
        "input_gradients": input_gradients,
        "gradient_x_input": gradient_x_input,
        "integrated_gradients": integrated_gradients,
        "smooth_grad": lambda model, x, target: smooth_grad(model, x, target, rng=rng),
        "occlusion": occlusion,
        "random": lambda model, x, target: rng.random(x.shape),
    }

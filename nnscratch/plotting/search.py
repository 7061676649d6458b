"""A plot of a hyper-parameter search."""

from __future__ import annotations

from typing import Any

import numpy as np

from .style import BLUE, GREY, ORANGE, axes_or_new


def plot_search(study: Any, parameter: str | None = None, ax: Any = None) -> Any:
    """Plot the result of every trial against the number of the trial, or against one hyper-parameter.

    Parameters
    ----------
    study : optuna.Study
        The result of :func:`nnscratch.training.search`.
    parameter : str, optional
        The hyper-parameter of the horizontal axis. By default, the axis is the number of the trial, and a line shows
        the best result so far.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    >>> def make_trainer(trial):
    ...     model = nn.Linear(1, 1, rng=0)
    ...     lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
    ...     return nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=lr))
    >>> study = nn.training.search(make_trainer, [(x, 2 * x)], [(x, 2 * x)], steps=20, trials=6)
    >>> ax = plot_search(study, "lr")
    >>> ax.get_xlabel(), ax.get_xscale()
    ('lr', 'log')
    """
    finished = [t for t in study.trials if t.state.name == "COMPLETE" and np.isfinite(t.value)]
    cut = [t for t in study.trials if t.state.name == "PRUNED" and t.intermediate_values]
    if not finished:
        raise ValueError("plot_search: no trial has finished")
    if parameter is not None:
        names = {name: None for t in finished for name in t.params}
        if parameter not in names:
            raise ValueError(f"the search has no parameter {parameter!r}; it has {', '.join(names)}")
        # Leave out the trials that do not have this parameter.
        finished, cut = ([t for t in trials if parameter in t.params] for trials in (finished, cut))
    ax = axes_or_new(ax)

    def position(trial: Any) -> Any:
        return trial.number if parameter is None else trial.params[parameter]

    last = [t.intermediate_values[max(t.intermediate_values)] for t in cut]
    best, edge = min(finished, key=lambda t: t.value), np.inf
    top = np.quantile([t.value for t in finished], 0.9)
    if max(t.value for t in finished) > best.value + 4 * (top - best.value) > best.value:
        edge = best.value + 2 * (top - best.value)  # a few bad trials would compress the rest of the plot
    ax.scatter([position(t) for t in finished if t.value <= edge], [t.value for t in finished if t.value <= edge],
               s=30, color=BLUE, label="trial", zorder=3)  # fmt: skip
    beyond = [position(t) for t in finished if t.value > edge]
    if beyond:
        ax.scatter(beyond, [edge] * len(beyond), s=40, marker="^", color=BLUE, clip_on=False, label="above the axis")
        ax.set_ylim(best.value - 0.08 * (top - best.value), edge)
    if cut:
        ax.scatter([position(t) for t in cut], np.minimum(last, edge), s=34, marker="x", color=GREY, clip_on=False,
                   label="stopped early", zorder=2)  # fmt: skip
    ax.scatter([position(best)], [best.value], s=130, facecolors="none", edgecolors=ORANGE, linewidths=2, zorder=4,
               label=f"best: {best.value:.4g}")  # fmt: skip
    if parameter is None:
        order = sorted(finished, key=lambda t: t.number)
        ax.step([t.number for t in order], np.minimum.accumulate([t.value for t in order]), where="post",
                color=ORANGE, linewidth=1.2, label="best so far")  # fmt: skip
        ax.set_xlabel("trial")
        ax.xaxis.get_major_locator().set_params(integer=True)
    else:
        ax.set_xlabel(parameter)
        if getattr(best.distributions[parameter], "log", False):
            ax.set_xscale("log")
    ax.set_ylabel("validation loss, mean over the targets")
    ax.legend(frameon=False)
    return ax

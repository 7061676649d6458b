"""Hyper-parameter search: try settings, keep what the validation loss says, and give up early on what goes badly.

    for each trial:  suggest settings -> make_trainer(trial) -> fit, validate now and then -> best validation loss

What to try next is Optuna's business: its sampler starts at random and then tries more of what went well (a
tree-structured Parzen estimator), and its pruner ends a trial whose validation loss is worse than the median of the
trials before it at the same step. What a trial is, is the caller's: a function that makes a Trainer.

References
----------
Akiba, Sano, Yanase, Ohta and Koyama (2019), "Optuna: a next-generation hyperparameter optimization framework".
Bergstra, Bardenet, Bengio and Kegl (2011), "Algorithms for hyper-parameter optimization".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks import positive_int
from .callback import Callback
from .divergence import TrainingDiverged
from .trainer import Trainer


def search(
    make_trainer: Callable[[Any], Trainer],
    batches: Any,
    valid: Any,
    *,
    steps: int,
    trials: int = 20,
    evaluate_every: int | None = None,
    seed: int = 0,
) -> Any:
    """Train once for each trial, and find the settings with the lowest validation loss.

    Parameters
    ----------
    make_trainer : function of an optuna.Trial
        Asks it for settings (``trial.suggest_float("lr", 1e-4, 1e-1, log=True)``, ``suggest_int``,
        ``suggest_categorical``) and returns a new Trainer made with them.
    batches, valid
        As of `Trainer.fit`.
    steps : int
        Of each trial.
    trials : int
    evaluate_every : int, optional
        Steps between two looks at the validation loss; a tenth of `steps` if not given.
    seed : int
        Of the sampler: the same seed gives the same search.

    Returns
    -------
    optuna.Study
        ``study.best_params``, ``study.best_value``, ``study.trials``. A picture:
        ``nn.plotting.plot_search(study, "lr")``.

    Raises
    ------
    ImportError
        Optuna is not installed: it is the extra ``nnscratch[search]``.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.random.default_rng(0).uniform(-1, 1, (64, 2)).astype(np.float32)
    >>> data = [(x, (x[:, 0] * x[:, 1] > 0).astype(int))]
    >>> def make_trainer(trial):
    ...     hidden, lr = trial.suggest_int("hidden", 2, 32, log=True), trial.suggest_float("lr", 1e-4, 1.0, log=True)
    ...     model = nn.Sequential(nn.Linear(2, hidden, rng=0), nn.Tanh(), nn.Linear(hidden, 2, rng=1))
    ...     return nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=lr))
    >>> study = nn.training.search(make_trainer, data, data, steps=50, trials=12)
    >>> sorted(study.best_params), study.best_value < 0.3
    (['hidden', 'lr'], True)
    """
    try:
        import optuna
    except ImportError:
        raise ImportError("search needs Optuna: pip install 'nnscratch[search]'") from None
    if valid is None:
        raise TypeError("search compares validation losses: valid must be batches, got None")
    positive_int("steps", steps)
    positive_int("trials", trials)
    every = positive_int("evaluate_every", evaluate_every or max(1, steps // 10))

    def one_trial(trial: optuna.Trial) -> float:
        trainer = make_trainer(trial)
        if not isinstance(trainer, Trainer):
            raise TypeError(f"make_trainer must return a Trainer, got {type(trainer).__name__}")
        trainer.callbacks.append(_Report(trial))
        try:
            trainer.fit(batches, valid, steps=steps, evaluate_every=every)
        except TrainingDiverged:
            raise optuna.TrialPruned() from None  # too bold a setting is an answer, not an error
        if trainer.stop == GIVEN_UP:
            raise optuna.TrialPruned()
        return trainer.history.best["loss"]

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner(n_startup_trials=5)
        )
        study.optimize(one_trial, n_trials=trials)
    finally:
        optuna.logging.set_verbosity(level)
    return study


GIVEN_UP = "the search gave this trial up"


class _Report(Callback):
    """Tells the search every validation loss, and ends the training when it says so."""

    def __init__(self, trial: Any):
        self.trial = trial

    def on_validation_end(self, trainer: Trainer) -> None:
        record = trainer.history.valid[-1]
        if np.isfinite(record["loss"]):
            self.trial.report(record["loss"], int(record["step"]))
        if trainer.steps_done < trainer.total_steps and self.trial.should_prune():
            trainer.stop = GIVEN_UP

"""Hyper-parameter search: train with different settings, and find those with the lowest validation loss.

    for each trial:  suggest settings -> make_trainer(trial) -> fit, with validations -> best validation loss

You write the function that makes a Trainer with suggested settings. Optuna chooses the settings. Its sampler, a
tree-structured Parzen estimator, draws the first settings at random. Later settings are similar to the best settings so
far. Its pruner ends a trial early if the validation loss is worse than the median of the earlier trials at the same
step.

References
----------
Akiba, Sano, Yanase, Ohta and Koyama (2019), "Optuna: a next-generation hyperparameter optimization framework",
arXiv:1907.10902. Bergstra, Bardenet, Bengio and Kegl (2011), "Algorithms for hyper-parameter optimization",
https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization.
"""

from __future__ import annotations

import time
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
    storage: str | None = None,
) -> Any:
    """Train once per trial, and return the study with the settings that gave the lowest validation loss.

    Parameters
    ----------
    make_trainer : function of an optuna.Trial
        It gets settings from the trial (``trial.suggest_float("lr", 1e-4, 1e-1, log=True)``, ``suggest_int``,
        ``suggest_categorical``) and returns a new Trainer that uses them.
    batches, valid
        As for `Trainer.fit`.
    steps : int
        The number of steps of each trial.
    trials : int
        The number of trials that this process makes.
    evaluate_every : int, optional
        The number of steps between two validations. The default is a tenth of `steps`.
    seed : int
        The seed of the sampler. The same seed gives the same search.
    storage : str, optional
        A database, such as ``"sqlite:///search.db"``, that keeps the trials. Several processes with the same database
        search together. Give each process a different seed. A search that is already in the database continues.

    Returns
    -------
    optuna.Study
        Read ``study.best_params``, ``study.best_value`` and ``study.trials``, or plot it with
        ``nn.plotting.plot_search(study, "lr")``.

    Raises
    ------
    ImportError
        Optuna is not installed. Install the extra ``nnscratch[search]``.
    ValueError
        `storage` is not the address of a database.

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
        raise TypeError("search compares validation losses, so valid must be batches, got None")
    positive_int("steps", steps)
    positive_int("trials", trials)
    every = positive_int("evaluate_every", max(1, steps // 10) if evaluate_every is None else evaluate_every)

    def one_trial(trial: optuna.Trial) -> float:
        trainer = make_trainer(trial)
        if not isinstance(trainer, Trainer):
            raise TypeError(f"make_trainer must return a Trainer, got {type(trainer).__name__}")
        trainer.callbacks.append(_Report(trial))
        try:
            trainer.fit(batches, valid, steps=steps, evaluate_every=every)
        except TrainingDiverged:
            raise optuna.TrialPruned() from None  # some settings are expected to diverge
        if trainer.stop == PRUNED:
            raise optuna.TrialPruned()
        return trainer.history.best["loss"]

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = _study(seed, storage)
        study.optimize(one_trial, n_trials=trials)
    finally:
        optuna.logging.set_verbosity(level)
    return study


def _study(seed: int, storage: str | None) -> Any:
    """Return a new study, or the study that is already in `storage`."""
    import optuna
    import sqlalchemy  # a dependency of Optuna

    sampler, pruner = optuna.samplers.TPESampler(seed=seed), optuna.pruners.MedianPruner(n_startup_trials=5)
    if storage is None:
        return optuna.create_study(sampler=sampler, pruner=pruner)
    settings = {"storage": storage, "study_name": "search", "load_if_exists": True}
    for seconds in (0.5, 1, 2):
        try:
            return optuna.create_study(sampler=sampler, pruner=pruner, **settings)
        except sqlalchemy.exc.ArgumentError:
            raise ValueError(f"storage must be like 'sqlite:///search.db', got {storage!r}") from None
        except (sqlalchemy.exc.DBAPIError, optuna.exceptions.OptunaError):
            time.sleep(seconds)  # another process creates the same tables at this moment
    return optuna.create_study(sampler=sampler, pruner=pruner, **settings)


PRUNED = "the search ended this trial early"


class _Report(Callback):
    """Report every validation loss to the trial, and end training when the pruner decides so."""

    def __init__(self, trial: Any):
        self.trial = trial

    def on_validation_end(self, trainer: Trainer) -> None:
        record = trainer.history.valid[-1]
        if np.isfinite(record["loss"]):
            self.trial.report(record["loss"], int(record["step"]))
        if trainer.steps_done < trainer.total_steps and self.trial.should_prune():
            trainer.stop = PRUNED

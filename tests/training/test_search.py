"""A search finds good settings, ends bad trials early, and gives the same result with the same seed."""

import os
import subprocess
import sys

import numpy as np
import pytest

import nnscratch as nn

pytest.importorskip("optuna")
X = np.random.default_rng(0).uniform(-1, 1, (64, 2)).astype(np.float32)
DATA = [(X, (X[:, 0] * X[:, 1] > 0).astype(int))]


def make_trainer(trial):
    lr = trial.suggest_float("lr", 1e-5, 1e4, log=True)
    model = nn.Sequential(nn.Linear(2, 16, rng=0), nn.Tanh(), nn.Linear(16, 2, rng=1))
    return nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=lr))


def study():
    return nn.training.search(make_trainer, DATA, DATA, steps=60, trials=20, evaluate_every=10, seed=1)


@pytest.mark.filterwarnings("ignore")
def test_it_finds_a_rate_that_learns_gives_up_on_others_and_repeats_itself():
    one, other = study(), study()
    assert 1e-2 < one.best_params["lr"] < 100 and one.best_value < 0.5
    assert [t.params for t in one.trials] == [t.params for t in other.trials]
    assert any(t.state.name == "PRUNED" for t in one.trials) and len(one.trials) == 20
    for parameter in (None, "lr"):
        ax = nn.plotting.plot_search(one, parameter)
        assert ax.get_xlabel() == (parameter or "trial") and "loss" in ax.get_ylabel()
    with pytest.raises(ValueError, match="no parameter 'hidden'; it has lr"):
        nn.plotting.plot_search(one, "hidden")


@pytest.mark.filterwarnings("ignore")
def test_a_search_has_20_trials_with_seed_0_unless_you_say_otherwise_and_leaves_the_log_as_it_was():
    import optuna

    optuna.logging.set_verbosity(optuna.logging.INFO)  # Optuna's default
    usual, given = (nn.training.search(make_trainer, DATA, DATA, steps=1, **options) for options in ({}, {"seed": 0}))
    assert len(usual.trials) == 20 and optuna.logging.get_verbosity() == optuna.logging.INFO
    assert [t.params for t in usual.trials] == [t.params for t in given.trials]


@pytest.mark.filterwarnings("ignore")
def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="trials must be an integer of 1 or more"):
        nn.training.search(make_trainer, DATA, DATA, steps=1, trials=0)
    with pytest.raises(TypeError, match="make_trainer must return a Trainer, got NoneType"):
        nn.training.search(lambda trial: None, DATA, DATA, steps=1, trials=1)
    with pytest.raises(TypeError, match="so valid must be batches, got None"):
        nn.training.search(make_trainer, DATA, None, steps=1, trials=1)


@pytest.mark.filterwarnings("ignore")
def test_a_parameter_that_only_some_trials_have_is_drawn_over_these():
    def make(trial):
        model = nn.Linear(2, 2, rng=0)
        adam = trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "adam"
        optimizer = nn.optim.Adam(model.parameters(), trial.suggest_float("adam_lr", 0.01, 0.1)) if adam else None
        return nn.Trainer(model, nn.CrossEntropyLoss(), optimizer or nn.optim.SGD(model.parameters(), lr=0.1))

    found = nn.training.search(make, DATA, DATA, steps=3, trials=8)
    having = [t for t in found.trials if "adam_lr" in t.params]
    assert 0 < len(having) < 8
    ax = nn.plotting.plot_search(found, "adam_lr")
    assert sorted(ax.collections[0].get_offsets()[:, 0]) == sorted(t.params["adam_lr"] for t in having)


PROGRAM = """
import sys
import numpy as np, nnscratch as nn
x = np.random.default_rng(0).uniform(-1, 1, (64, 2)).astype(np.float32)
data = [(x, (x[:, 0] * x[:, 1] > 0).astype(int))]
def make_trainer(trial):
    model = nn.models.MLP([2, 8, 2], rng=0)
    lr = trial.suggest_float("lr", 1e-3, 10.0, log=True)
    return nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.SGD(model.parameters(), lr=lr))
nn.training.search(make_trainer, data, data, steps=5, trials=3, seed=int(sys.argv[1]), storage="sqlite:///search.db")
"""


@pytest.mark.filterwarnings("ignore")
def test_two_processes_search_in_one_database_and_a_third_search_continues(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    processes = [subprocess.Popen([*command, str(seed)], cwd=tmp_path, env=os.environ) for seed in (1, 2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    database = f"sqlite:///{tmp_path / 'search.db'}"
    study = nn.training.search(make_trainer, DATA, DATA, steps=5, trials=1, seed=3, storage=database)
    assert len(study.trials) == 7 and len({trial.params["lr"] for trial in study.trials}) == 7


def test_a_storage_that_is_no_address_is_refused():
    with pytest.raises(ValueError, match="storage must be like 'sqlite:///search.db', got 'search.db'"):
        nn.training.search(make_trainer, DATA, DATA, steps=5, storage="search.db")

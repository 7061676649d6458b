"""Training shows itself: the progress bar that fit adds, and the live plot."""

import sys
import types

import numpy as np
import pytest
import tqdm

import nnscratch as nn
from nnscratch import progress

BATCHES = [(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))] * 3


def trainer(**settings):
    model = nn.Linear(2, 1, rng=0)
    return nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.01), **settings)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)


def notebook(monkeypatch):
    """Let the live plot think that this is a notebook. Return the list of what it displays: (picture, kind)."""
    pytest.importorskip("IPython.display")
    shown = []

    class Handle:
        def update(self, picture):
            shown.append((picture, "update"))

    def display(picture, display_id):
        shown.append((picture, "new"))
        return Handle()

    monkeypatch.setattr("nnscratch.plotting.live.in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    return shown


def test_tqdm_write_does_not_add_its_text_to_the_line_of_the_bar(capsys):
    class Write(nn.training.Callback):
        def on_step_end(self, trainer):
            tqdm.tqdm.write("a message", file=sys.stderr)

    trainer(callbacks=[nn.training.ProgressBar(), Write()]).fit(BATCHES, steps=2)
    lines = capsys.readouterr().err.replace("\n", "\r").split("\r")
    assert lines.count("a message") == 2


def test_fit_shows_a_bar_on_a_terminal_only_and_progress_false_hides_it(capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    trainer().fit(BATCHES, epochs=2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    own = trainer()
    own.fit(BATCHES, epochs=2)
    assert "6/6" in capsys.readouterr().err and own.callbacks == []
    trainer(progress=False).fit(BATCHES, epochs=2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "shown"), [(1.0, ["1/6", "2/6", "5/6"]), (0.0, [])])
def test_a_bar_shows_a_new_step_after_a_while_and_the_last_step(capsys, monkeypatch, seconds, shown):
    now = [0.0]

    def passing():
        now[0] += seconds
        return now[0]

    monkeypatch.setattr("nnscratch.training.callbacks.time", types.SimpleNamespace(monotonic=passing))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("tqdm.std.time", passing)  # the bar has its own clock
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    trainer().fit(BATCHES, epochs=2)
    text = capsys.readouterr().err
    assert [part for part in ("1/6", "2/6", "5/6") if part in text] == shown and "6/6" in text


def test_a_bar_among_the_callbacks_is_the_only_one(terminal, capsys):
    trainer(callbacks=[nn.training.ProgressBar("bpc")]).fit(BATCHES, BATCHES, epochs=1)
    said = capsys.readouterr().err
    assert "bpc: train" in said and "loss: train" not in said


def test_the_live_plot_draws_once_and_then_updates_the_picture(monkeypatch):
    shown = notebook(monkeypatch)
    trainer(callbacks=[nn.LivePlot(seconds=0)], progress=False).fit(BATCHES, epochs=1)
    assert [kind for _, kind in shown] == ["new", "update", "update", "update"]
    assert shown[0][0].data.startswith(b"\x89PNG") and "over 3 steps" in shown[-1][0].alt


def test_a_shell_with_a_kernel_is_a_notebook(monkeypatch):
    assert not progress.in_notebook()
    shell = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert progress.in_notebook() and progress.someone_watches()


def test_the_live_plot_does_nothing_outside_of_a_notebook_and_checks_its_arguments():
    trainer(callbacks=[nn.LivePlot(seconds=0)]).fit(BATCHES, epochs=1)
    with pytest.raises(ValueError, match="unit must be one of"):
        nn.LivePlot("bits")
    with pytest.raises(ValueError, match="seconds"):
        nn.LivePlot(seconds=-1)

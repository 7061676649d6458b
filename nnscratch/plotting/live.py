"""LivePlot: the loss curve in a notebook, redrawn during training."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from ..checks import at_least, one_of
from ..progress import in_notebook
from ..training.callback import Callback
from ..training.callbacks import UNITS
from .history import plot_history
from .style import new_axes

if TYPE_CHECKING:
    from ..training.trainer import Trainer


class LivePlot(Callback):
    """Show the loss curve in a notebook, and draw it again during training.

    Outside of a notebook, this callback does nothing.

    Parameters
    ----------
    unit : {"loss", "bpc", "perplexity"}
        See `plotting.plot_history`.
    seconds : float
        The time between two drawings. A drawing takes about a tenth of a second.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Linear(1, 1, rng=0)
    >>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[nn.LivePlot()])
    >>> history = trainer.fit([(np.ones((4, 1), np.float32), np.ones((4, 1), np.float32))], steps=10)
    """

    def __init__(self, unit: str = "loss", seconds: float = 2.0):
        one_of("unit", unit, UNITS)
        self.unit, self.seconds = unit, at_least("seconds", seconds, 0)
        self._handle: Any = None
        self._next = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        self._handle, self._next = None, time.monotonic() + self.seconds

    def on_step_end(self, trainer: Trainer) -> None:
        if time.monotonic() >= self._next and trainer.rank == 0:
            self._draw(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if trainer.rank == 0:
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        if not in_notebook() or not trainer.history.loss:
            return
        from IPython.display import Image, display

        ax = plot_history(trainer.history, self.unit, ax=new_axes())
        png = io.BytesIO()
        ax.figure.savefig(png, format="png", bbox_inches="tight")
        steps, last = trainer.history.steps, trainer.history.loss[-1]
        picture = Image(png.getvalue(), alt=f"The loss over {steps} steps. The last loss is {last:.4g}.")
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
        self._next = time.monotonic() + self.seconds

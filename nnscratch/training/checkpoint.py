"""Checkpoints: everything that a run needs to continue, bit for bit, as if it had never stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..checks import positive_int
from ..module import Module
from ..serialization import PathLike, read_arrays, save, write_arrays
from .callback import Callback
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

FILE = "checkpoint.safetensors"


class Checkpoint(Callback):
    """Save a run to disk: `checkpoint.safetensors` to resume from, `model.safetensors` with the best weights.

    The best weights are those with the lowest validation loss. If training ends before the first validation, the
    latest weights are saved instead.

    Parameters
    ----------
    folder : path
        An existing folder.
    every : int, optional
        Save after every `every` steps, and also after each validation and at the end.

    Notes
    -----
    Each file is written atomically, and never with weights that are not finite. So a file that exists is complete and
    usable.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnscratch as nn
    >>> folder, model = tempfile.mkdtemp(), nn.Linear(2, 1, rng=0)
    >>> optimizer = nn.optim.Adam(model.parameters())
    >>> trainer = nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[Checkpoint(folder)])
    >>> batches = [(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))]
    >>> history = trainer.fit(batches, valid=batches, epochs=30)
    >>> sorted(os.listdir(folder))
    ['checkpoint.safetensors', 'model.safetensors']
    """

    def __init__(self, folder: PathLike, every: int | None = None):
        self.folder = Path(folder)
        self.every = None if every is None else positive_int("every", every)

    def on_fit_start(self, trainer: Trainer) -> None:
        if not self.folder.is_dir():  # raise now, not after the first epoch
            raise FileNotFoundError(f"Checkpoint: there is no folder {self.folder}. Make it first")
        self.earlier_steps = trainer.optimizer.steps - trainer.steps_done

    def on_step_end(self, trainer: Trainer) -> None:
        if self.every is not None and trainer.steps_done % self.every == 0:
            self.write(trainer)

    def on_validation_end(self, trainer: Trainer) -> None:
        if trainer.history.valid[-1] is trainer.history.best:
            save(trainer.model, self.folder / "model.safetensors")
        self.write(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if trainer.optimizer.steps - trainer.steps_done > self.earlier_steps:
            return  # a second Ctrl-C interrupted a step: keep the checkpoint of the last complete step
        if self.write(trainer) and trainer.history.best is None:
            save(trainer.model, self.folder / "model.safetensors")

    def write(self, trainer: Trainer) -> bool:
        """Write the checkpoint. Return False, and keep the old file, if a weight is not finite."""
        if not all(backend.array_module(p.data).isfinite(p.data).all() for p in trainer.model.parameters()):
            return False
        arrays, header = trainer.state_dict()
        write_arrays(self.folder / FILE, arrays, header)
        return True


def resume(trainer: Trainer, folder: PathLike) -> None:
    """Load the checkpoint in `folder` into `trainer`. The next call of ``trainer.fit`` continues the run.

    Raises
    ------
    FileNotFoundError
        `folder` has no checkpoint.
    ValueError
        The checkpoint is incomplete, or is of another model or optimizer. The trainer is unchanged.

    Examples
    --------
    >>> import tempfile, numpy as np, nnscratch as nn
    >>> folder = tempfile.mkdtemp()
    >>> def new_trainer():
    ...     model = nn.Linear(2, 1, rng=0)
    ...     optimizer = nn.optim.Adam(model.parameters())
    ...     return nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[Checkpoint(folder)])
    >>> batches = [(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))]
    >>> first = new_trainer()
    >>> history = first.fit(batches, steps=30)
    >>> later = new_trainer()                               # another day, another process
    >>> resume(later, folder)
    >>> later.steps_done
    30
    >>> bool((later.model.weight.data == first.model.weight.data).all())
    True
    """
    path = os.path.join(folder, FILE)
    arrays, header = read_arrays(path)
    missing = {"step", "optimizer", "scheduler", "rng", "epoch_rng", "history", "callbacks"} - header.keys()
    if missing:
        raise ValueError(f"{path} is not a training checkpoint of nnscratch: it has no {', '.join(sorted(missing))}")
    try:
        trainer.load_state_dict(arrays, header)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def state_dict(trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of `trainer`: named arrays, and a header of values that JSON can store."""
    history = trainer.history
    optimizer = trainer.optimizer.state_dict()
    arrays = {f"model.{name}": a for name, a in trainer.model.state_dict().items()}
    for name in trainer.optimizer.moments:
        arrays |= {f"optimizer.{name}.{k}": a for k, a in enumerate(optimizer.pop(name))}
    hidden = trainer.hidden
    hidden = hidden if isinstance(hidden, tuple) else () if hidden is None else (hidden,)
    arrays |= {f"hidden.{k}": a for k, a in enumerate(hidden)}
    header = {
        "step": trainer.steps_done,
        "optimizer": optimizer,
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "rng": [rng.bit_generator.state for rng in generators(trainer.model)],
        "epoch_rng": trainer.epoch_rng,
        "history": history.to_dict(),
        "callbacks": [getattr(callback, "state", None) for callback in trainer.callbacks],
    }
    return arrays, header


def load_state_dict(trainer: Trainer, arrays: dict[str, Any], header: dict[str, Any]) -> None:
    """Load what `state_dict` returned; if it does not fit, raise ValueError and leave `trainer` unchanged."""
    saved = {name.split(".")[1] for name in arrays if name.startswith("optimizer.")}
    if saved != set(trainer.optimizer.moments):
        raise ValueError(
            f"the checkpoint is of another optimizer, which keeps {sorted(saved)}; "
            f"{type(trainer.optimizer).__name__} keeps {sorted(trainer.optimizer.moments)}"
        )
    if trainer.scheduler is not None and header["scheduler"] is None:
        raise ValueError(f"the checkpoint has no scheduler; the trainer has a {type(trainer.scheduler).__name__}")
    own_arrays, own_header = state_dict(trainer)
    own_arrays = {name: a.copy() for name, a in own_arrays.items()}
    try:
        _load(trainer, arrays, header)
    except (ValueError, TypeError, KeyError):
        _load(trainer, own_arrays, own_header)  # the model may be loaded already when the optimizer raises
        raise


def _load(trainer: Trainer, arrays: dict[str, Any], header: dict[str, Any]) -> None:
    def with_prefix(prefix: str) -> dict[str, Any]:
        return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}

    optimizer, own_generators = trainer.optimizer, generators(trainer.model)
    if len(header["rng"]) != len(own_generators):
        raise ValueError(
            f"the checkpoint is of a model with {len(header['rng'])} random generators; "
            f"this model has {len(own_generators)}"
        )
    moments = {name: _in_order(with_prefix(f"optimizer.{name}.")) for name in optimizer.moments}
    trainer.model.load_state_dict(with_prefix("model."))
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(header["scheduler"])
    optimizer.load_state_dict(header["optimizer"] | moments)
    for rng, state in zip(own_generators, header["rng"], strict=True):
        rng.bit_generator.state = state
    device = optimizer.parameters[0].device
    hidden = tuple(backend.to_device(a, device) for a in _in_order(with_prefix("hidden.")))
    trainer.hidden = hidden if len(hidden) > 1 else hidden[0] if hidden else None
    trainer.epoch_rng, trainer.steps_done = header["epoch_rng"], header["step"]
    trainer.recorded = History(**header["history"])
    for callback, state in zip(trainer.callbacks, header["callbacks"], strict=False):
        if state is not None:
            callback.state = state


def _in_order(numbered: dict[str, Any]) -> list[Any]:
    return [numbered[str(k)] for k in range(len(numbered))]


def generators(model: Module) -> list[np.random.Generator]:
    """Return the random generators that a model's modules hold, each once."""
    held = [value for m in model.modules() for value in vars(m).values() if isinstance(value, np.random.Generator)]
    return list({id(rng): rng for rng in held}.values())

"""Checkpoints: everything that a run needs to continue, bit for bit, as if it had never stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..checks import count, finite, positive_int, reason, short
from ..module import Module
from ..serialization import PathLike, read_arrays, save, write_arrays
from .callback import Callback
from .epochs import BatchGenerators
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

FILE = "checkpoint.safetensors"
STEP_RECORDS = ("loss", "lr", "norm")
"""The lists of a `History` with one value for each step. They are saved as arrays, because a run may have millions of
steps.
"""


KINDS_OF_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


class Checkpoint(Callback):
    """Save a run to disk: `checkpoint.safetensors` to resume from, `model.safetensors` with the best weights.

    The best weights are those with the lowest validation loss. If training ends before the first validation, the
    latest weights are saved instead.

    Parameters
    ----------
    folder : path
        An existing folder.
    every : int, optional
        The number of steps between two saves. The run is also saved after each validation and at the end.

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
        if trainer.rank == 0 and not self.folder.is_dir():  # raise now, not after the first epoch
            raise FileNotFoundError(f"Checkpoint: there is no folder {self.folder}. Make it first")
        self.earlier_steps = trainer.optimizer.steps - trainer.steps_done

    def on_step_end(self, trainer: Trainer) -> None:
        if self.every is not None and trainer.steps_done % self.every == 0:
            self.write(trainer)

    def on_validation_end(self, trainer: Trainer) -> None:
        if trainer.history.valid[-1] is trainer.history.best and trainer.rank == 0:
            save(trainer.model, self.folder / "model.safetensors")
        self.write(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if trainer.optimizer.steps - trainer.steps_done > self.earlier_steps:
            return  # a second Ctrl-C interrupted a step: keep the checkpoint of the last complete step
        if self.write(trainer) and trainer.history.best is None and trainer.rank == 0:
            save(trainer.model, self.folder / "model.safetensors")

    def write(self, trainer: Trainer) -> bool:
        """Write the checkpoint. Return False, and keep the old file, if a weight is not finite."""
        if not all(backend.array_module(p.data).isfinite(p.data).all() for p in trainer.model.parameters()):
            return False
        arrays, header = trainer.state_dict()
        if trainer.rank == 0:
            write_arrays(self.folder / FILE, arrays, header)
        return True


def resume(trainer: Trainer, folder: PathLike) -> None:
    """Load the checkpoint in `folder` into `trainer`. The next call of ``trainer.fit`` continues the run.

    Raises
    ------
    FileNotFoundError
        `folder` has no checkpoint.
    ValueError
        The checkpoint is incomplete, or belongs to another model or optimiser. The trainer is unchanged.

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
        raise ValueError(f"{path}: {reason(error)}") from None


def state_dict(trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of `trainer`: named arrays, and a header of values that JSON can store.

    With a communicator, call this function on all ranks. Rank 0 then returns a recurrent model's states for all rows of
    the batch, as a single process does.
    """
    history = trainer.history
    optimizer = trainer.optimizer.state_dict()
    arrays = {f"model.{name}": a for name, a in trainer.model.state_dict().items()}
    for name in trainer.optimizer.moments:
        names = parameter_names(trainer)
        arrays |= {f"optimizer.{name}.{key}": a for key, a in zip(names, optimizer.pop(name), strict=True)}
    hidden, states = trainer.hidden, [rng.bit_generator.state for rng in _generators(trainer)]
    together, states_of_ranks = trainer.together, None
    if together is not None:  # the ranks exchange messages, so all of them must call this
        hidden, states_of_ranks = together.all_hidden(hidden), together.all_generators(states)
    hidden = hidden if isinstance(hidden, tuple) else () if hidden is None else (hidden,)
    arrays |= {f"hidden.{k}": a for k, a in enumerate(hidden)}
    steps = history.to_dict()
    arrays |= {f"history.{name}": np.array(steps.pop(name), dtype=np.float64) for name in STEP_RECORDS}
    of_batches = trainer.generators
    rng, valid_rng = of_batches.batches, of_batches.valid
    header = {
        "step": trainer.steps_done,
        "optimizer": optimizer,
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "rng": _for_json(states),
        "rng_of_ranks": _for_json(states_of_ranks),
        "epoch_rng": _for_json(of_batches.epoch_start),
        "batches_rng": _for_json(of_batches.batches_stopped_at if rng is None else rng.bit_generator.state),
        "valid_rng": _for_json(of_batches.valid_stopped_at if valid_rng is None else valid_rng.bit_generator.state),
        "privacy": _privacy_settings(trainer),
        "history": steps,
        "callbacks": [getattr(callback, "state", None) for callback in trainer.callbacks],
    }
    return arrays, header


def load_state_dict(trainer: Trainer, arrays: dict[str, Any], header: dict[str, Any]) -> None:
    """Load the result of `state_dict`. If it does not fit, raise ValueError and leave `trainer` unchanged."""
    if not isinstance(arrays, dict) or not isinstance(header, dict):
        raise TypeError(f"arrays and header must be dicts, got {type(arrays).__name__} and {type(header).__name__}")
    saved = {str(name).split(".")[1] for name in arrays if str(name).startswith("optimizer.")}
    if saved != set(trainer.optimizer.moments):
        raise ValueError(
            f"the checkpoint belongs to another optimizer, which keeps {sorted(saved)}; "
            f"{type(trainer.optimizer).__name__} keeps {sorted(trainer.optimizer.moments)}"
        )
    if trainer.scheduler is not None and header.get("scheduler") is None:
        raise ValueError(f"the checkpoint has no scheduler; the trainer has a {type(trainer.scheduler).__name__}")
    own_arrays, own_header = state_dict(trainer)
    own_arrays = {name: a.copy() for name, a in own_arrays.items()}
    try:
        _load(trainer, arrays, header)
    except Exception as error:  # a damaged or edited checkpoint may contain anything
        _load(trainer, own_arrays, own_header)  # the model may be loaded already when the optimiser raises
        if isinstance(error, ValueError):
            raise
        raise ValueError(f"the checkpoint cannot be read ({type(error).__name__}: {error})") from None


def _load(trainer: Trainer, arrays: dict[str, Any], header: dict[str, Any]) -> None:
    def with_prefix(prefix: str) -> dict[str, Any]:
        return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}

    optimizer, own_generators = trainer.optimizer, _generators(trainer)
    privacy = _privacy_settings(trainer)
    if header.get("privacy", privacy) != privacy:  # older checkpoints have no privacy settings
        raise ValueError(
            f"the checkpoint belongs to a run with privacy {header['privacy']}, and this trainer has {privacy}: "
            f"epsilon is right only if all steps have the same settings"
        )
    if len(header["rng"]) != len(own_generators):
        raise ValueError(
            f"the checkpoint belongs to a run with {len(header['rng'])} random generators; this run has "
            f"{len(own_generators)}"
        )
    step, history = count("step", header["step"]), _history(header, with_prefix("history."))
    moments = {name: _moments(trainer, with_prefix(f"optimizer.{name}.")) for name in optimizer.moments}
    for name in ("epoch_rng", "batches_rng", "valid_rng"):
        _check_generator_state(name, header.get(name))
    trainer.model.load_state_dict(with_prefix("model."))
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(header["scheduler"])
    optimizer.load_state_dict(header["optimizer"] | moments)
    states = header["rng"]
    if trainer.together is not None:
        states = trainer.together.own_generators(states, header.get("rng_of_ranks"))
    for rng, state in zip(own_generators, states, strict=True):
        rng.bit_generator.state = state
    device = optimizer.parameters[0].device
    hidden = tuple(backend.to_device(a, device) for a in _in_order(with_prefix("hidden.")))
    trainer.hidden = hidden if len(hidden) > 1 else hidden[0] if hidden else None
    if trainer.together is not None:
        trainer.hidden = trainer.together.own_hidden(trainer.hidden)
    trainer.generators = BatchGenerators(
        epoch_start=header["epoch_rng"],
        batches_stopped_at=header.get("batches_rng"),
        valid_stopped_at=header.get("valid_rng"),
    )
    trainer.steps_done = step
    trainer.recorded = history
    for callback, state in zip(trainer.callbacks, header["callbacks"], strict=False):
        if state is not None and hasattr(callback, "state"):
            callback.state = state


def parameter_names(trainer: Trainer) -> list[str]:
    """Return the names that the optimiser's parameters have in the model. A parameter without a name gets its number.

    The number of a parameter changes if you reorder attributes of the model. Its name does not change, so checkpoints
    store moments by name.
    """
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    return [names.get(id(parameter), str(k)) for k, parameter in enumerate(trainer.optimizer.parameters)]


def _moments(trainer: Trainer, saved: dict[str, Any]) -> list[Any]:
    """Return the saved arrays of one of the optimiser's moments, such as Adam's m: one array for each parameter.

    The arrays have the order of the optimiser's parameters.
    """
    if all(key.isdecimal() for key in saved):  # older checkpoints have numbers instead of names
        return _in_order(saved)
    names = parameter_names(trainer)
    if set(names) != saved.keys():
        raise ValueError(
            f"the checkpoint's optimizer has other parameters: {sorted(saved.keys() - set(names))} are only in the "
            f"checkpoint, {sorted(set(names) - saved.keys())} only in this optimizer"
        )
    return [saved[name] for name in names]


def _history(header: dict[str, Any], arrays: dict[str, Any]) -> History:
    """Return the saved history. Raise if the history does not have one loss, rate and norm for each step."""
    # Older checkpoints have these lists in the header instead of arrays.
    records = {name: arrays[name].tolist() for name in STEP_RECORDS if name in arrays}
    history = History(**header["history"], **records)
    counts = {name: len(getattr(history, name)) for name in STEP_RECORDS}
    if len(set(counts.values())) != 1:
        raise ValueError(f"the checkpoint's history must have one record for each step, got {counts}")
    for name in STEP_RECORDS:
        _check_numbers(f"history.{name}", getattr(history, name))
    _check_numbers("history.seconds", [history.seconds])
    for record in history.valid:
        _check_numbers("history.valid", [record[key] for key in ("step", "epoch", "seconds")])
        if not isinstance(record["loss"], float):  # it may be NaN or infinite
            raise ValueError(f"the losses in history.valid must be floats, got {short(record['loss'])}")
    return history


def _check_numbers(name: str, values: list[Any]) -> None:
    for value in values:
        finite(name, value)


def _in_order(numbered: dict[str, Any]) -> list[Any]:
    return [numbered[str(k)] for k in range(len(numbered))]


def generators(model: Module) -> list[np.random.Generator]:
    """Return the random generators of a model's modules, each once."""
    held = [value for m in model.modules() for value in vars(m).values() if isinstance(value, np.random.Generator)]
    return list({id(rng): rng for rng in held}.values())


def _for_json(states: Any) -> Any:
    """Return the states of generators with lists in place of arrays, because JSON cannot store arrays."""
    if isinstance(states, dict):
        return {name: _for_json(value) for name, value in states.items()}
    if isinstance(states, list):
        return [_for_json(value) for value in states]
    return states.tolist() if isinstance(states, np.ndarray) else states


def _check_generator_state(name: str, state: Any) -> None:
    """Raise unless `state` is None or the state of one of NumPy's generators."""
    if state is not None:
        kind = state["bit_generator"]
        if kind not in KINDS_OF_GENERATORS:
            raise ValueError(f"{name} must be the state of a generator of NumPy, got the kind {short(kind)}")
        getattr(np.random, kind)().state = state


def _generators(trainer: Trainer) -> list[np.random.Generator]:
    """Return the generators of the trainer's model, and the generator that draws the noise of private steps."""
    return generators(trainer.model) + ([] if trainer.privacy is None else [trainer.privacy.rng])


def _privacy_settings(trainer: Trainer) -> dict[str, float] | None:
    return None if trainer.privacy is None else trainer.privacy.settings()

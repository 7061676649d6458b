"""Together: several processes train one model, each on its own rows of every batch (data-parallel training).

MPI starts p processes, called ranks and numbered from 0. The loss is a mean over the n targets of the batch. If the
rows of rank r have n_r targets and the mean loss L_r, then

    L = sum over r  n_r/n  L_r          g = sum over r  n_r/n  g_r

so the mean over all targets is the weighted sum of the ranks' means. Each rank multiplies its loss and its gradient by
n_r/n. One sum over the ranks then gives L and g to all of them (gradient_sum.py). The sum comes before the norm, the
clipping and the check for NaN. After the sum, all ranks compute the same numbers, so their weights stay equal, bit for
bit. All ranks read the same batches. Of N rows, rank r uses N_r neighbouring rows. The first N mod p ranks
have one row more than the other ranks:

    rank 0    0 ... N_0 - 1
    rank 1    N_0 ... N_0 + N_1 - 1

Row n of a batch of TextBatches continues row n of the previous batch. So a rank always reads the same lanes of a text.

What differs by rank:

    hidden states     Each rank has the states of its own rows. A checkpoint contains the states of all rows.
    dropout           Rank 0 draws the same numbers as a single process. Each other rank has its own random stream.
    BatchNorm         Each rank normalises its own rows. The running averages become the mean over the ranks.

A rank must never wait for a rank that has ended. So all ranks stop after the same step, and an error on one rank ends
all ranks (ranks.py).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..losses import CrossEntropyLoss
from ..modes import eval_mode
from ..module import Module
from .accumulate import Part, number_of_targets
from .divergence import clip_if_finite
from .evaluate import loss_sum
from .gradient_sum import GradientSum
from .model_calls import arrays_of, call_model, forward_and_backward, hidden_for, num_rows, rows_of
from .ranks import check_number_of_ranks, end_all_ranks_on_uncaught_error

if TYPE_CHECKING:
    from .trainer import Trainer


class Together:
    """A step that trains with the other ranks of a communicator. It is an alternative to the Trainer's plain step.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
    trainer : Trainer

    Attributes
    ----------
    rank, size : int
        The number of this process, and the number of all processes.

    Raises
    ------
    TypeError
        `communicator` is not a communicator of mpi4py.
    ValueError
        The loss is not a mean over the targets.
    """

    def __init__(self, communicator: Any, trainer: Trainer):
        criterion = trainer.criterion
        if not (criterion.is_batch_mean or isinstance(criterion, CrossEntropyLoss)):
            raise ValueError(
                f"communicator: {type(criterion).__name__} is not a plain mean over the examples of a batch "
                f"(is_batch_mean is False), so the ranks' losses do not add up to the loss of the batch"
            )
        self.communicator, self.model = communicator, trainer.model
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self.sum = GradientSum(communicator, trainer.optimizer.parameters)
        self.batch_rows = 0  # the number of rows of the latest batch, and of the states that the model carries
        self.started = False
        self.own_streams = False  # True when the random generators differ between the ranks
        end_all_ranks_on_uncaught_error()

    def own_rows(self, n: int) -> slice:
        """Return this rank's rows of a batch with `n` rows."""
        each, more = divmod(n, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def step(self, trainer: Trainer, parts: Sequence[Part]) -> Any:
        """Make one step: forward, loss, backward on this rank's rows -> sum -> clip -> step. Return the next state."""
        optimizer, lr = trainer.optimizer, trainer.optimizer.lr
        trainer.zero_grad()
        loss, hidden = self.forward_and_backward(trainer.model, trainer.criterion, parts, trainer.hidden)
        trainer.call("on_backward_end")
        loss, norm = clip_if_finite(loss, optimizer.parameters, trainer.max_norm, trainer.clip_value)
        optimizer.step()
        trainer.recorded.add_step(loss, lr, norm)
        return hidden

    def forward_and_backward(
        self, model: Module, criterion: Module, parts: Sequence[Part], hidden: Any
    ) -> tuple[Any, Any]:
        """Compute loss and gradients, summed over the ranks. Return the loss and this rank's next state."""
        loss = 0.0
        for inputs, targets, fraction in parts:
            N, own = num_rows(inputs), self.own_rows(num_rows(inputs))
            if N != self.batch_rows:  # as in one process: a batch of another size starts from a zero state
                hidden, self.batch_rows = None, N
            if own.start == own.stop:  # no rows for this rank: the batch has fewer rows than ranks
                continue
            inputs_r, targets_r = rows_of(inputs, own), targets[own]
            n, n_r = backend.to_floats([number_of_targets(criterion, t) for t in (targets, targets_r)])
            if n and not n_r:  # all targets are ignored, but the state must advance
                with eval_mode(model):
                    _, hidden = call_model(model, inputs_r, hidden_for(model, inputs_r, hidden))
                continue
            part = Part(inputs_r, targets_r, fraction * (n_r / n if n else 1.0))
            part_loss, hidden = forward_and_backward(model, criterion, [part], hidden)
            loss += part_loss
        loss = self.sum.add_up(loss)
        for _, buffer in model.named_buffers():
            if buffer.dtype.kind == "f":
                self.sum.sum_in_place(buffer)
                buffer /= self.size
        return loss, hidden

    def agree(self, wish: str | None) -> str | None:
        """Return a reason to stop if a rank has one, else None. All ranks return the same result."""
        wishes = np.array([wish is not None], dtype=np.float64)
        self.sum.sum_in_place(wishes)
        if not wishes[0]:
            return None
        return next(wish for wish in self.communicator.allgather(wish) if wish is not None)

    def diverges_alike(self) -> bool:
        """True if all ranks raise `TrainingDiverged` at the same step. On GPUs, the steps may differ."""
        return all(p.device == "cpu" for p in self.sum.parameters)

    def start(self, trainer: Trainer, *batches: Any) -> None:
        """Before the first step, give all ranks the state of rank 0: weights, moments, steps and random generators.

        Raises
        ------
        ValueError
            The ranks have different models, settings or numbers of batches.
        """
        for each in batches:  # the training batches and the validation batches
            rng = getattr(each, "rng", None)
            if rng is not None:  # so that all ranks use the same random orders
                rng.bit_generator.state = self.communicator.bcast(rng.bit_generator.state)
        if self.started:
            return
        self._check_same_on_all_ranks(trainer, batches)
        state = self.communicator.bcast(_on_cpu(trainer.state_dict()))
        trainer.load_state_dict(*state)
        self.started = True

    def _check_same_on_all_ranks(self, trainer: Trainer, batches: Sequence[Any]) -> None:
        own = {
            "parameters": [f"{name} {p!r}" for name, p in trainer.model.named_parameters()],
            "optimizer": type(trainer.optimizer).__name__,
            "steps_done": trainer.steps_done,
            "total_steps": trainer.total_steps,
            "accumulate": trainer.accumulate,
            "number of batches": [len(each) if hasattr(each, "__len__") else None for each in batches],
        }
        for rank, other in enumerate(self.communicator.allgather(own)):
            different = [name for name in own if other[name] != own[name]]
            if different:
                raise ValueError(
                    f"all ranks must train the same model in the same way: {', '.join(different)} differ between rank "
                    f"{self.rank} ({own[different[0]]}) and rank {rank} ({other[different[0]]})"
                )

    def evaluate(self, criterion: Module, batches: Any) -> float:
        """Return the mean loss per target over all `batches`. Each rank evaluates its own rows."""
        sums = np.array(loss_sum(self.model, criterion, batches, self.own_rows))
        self.sum.sum_in_place(sums)
        return float(sums[0] / sums[1])

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def all_hidden(self, hidden: Any) -> Any:
        """Return the states of all rows of the batch: the rows of all ranks, in the order of the ranks."""
        own = None if hidden is None else tuple(backend.to_numpy(a) for a in arrays_of(hidden))
        of_ranks = [states for states in self.communicator.allgather(own) if states is not None]
        if not of_ranks:
            return None
        return tuple(np.concatenate(a, axis=axis) for *a, axis in zip(*of_ranks, self._batch_axes(), strict=True))

    def own_hidden(self, hidden: Any) -> Any:
        """Select the states of this rank's rows from the states of all rows."""
        if hidden is None:
            return None
        cut = []
        for array, axis in zip(arrays_of(hidden), self._batch_axes(), strict=True):
            self.batch_rows = array.shape[axis]
            index = [slice(None)] * array.ndim
            index[axis] = self.own_rows(self.batch_rows)
            cut.append(array[tuple(index)])
        return tuple(cut) if isinstance(hidden, tuple) else cut[0]

    def _batch_axes(self) -> list[int]:
        """Return, for each array of the model's state, the axis of the rows of the batch."""
        pairs = zip(*(arrays_of(self.model.init_hidden(n)) for n in (1, 2)), strict=True)
        return [next(k for k in range(a.ndim) if a.shape[k] != b.shape[k]) for a, b in pairs]

    def all_generators(self, states: list[dict]) -> list[list[dict]] | None:
        """Return the states of the model's random generators on each rank, or None if they do not differ yet."""
        return self.communicator.allgather(states) if self.own_streams else None

    def own_generators(self, states: list[dict], of_ranks: list[list[dict]] | None) -> list[dict]:
        """Return the states of this rank's random generators when training resumes.

        `of_ranks` has the states of each rank if the checkpoint was written by several ranks. `states` are the states
        of rank 0 or of a single process. If there are no states for this rank, it gets new streams.
        """
        self.own_streams = True
        if of_ranks is not None and self.rank < len(of_ranks):
            return of_ranks[self.rank]
        return states if self.rank == 0 else [new_stream(state, self.rank) for state in states]


def training_together(trainer: Trainer, communicator: Any, threads: int) -> Together | None:
    """Return the `Together` of a new trainer, or None if it trains alone."""
    if communicator is None:
        return None
    if not all(hasattr(communicator, name) for name in ("Get_rank", "Allreduce", "Allgatherv", "bcast", "Abort")):
        raise TypeError(
            f"communicator must be a communicator of mpi4py, such as mpi4py.MPI.COMM_WORLD, "
            f"got {type(communicator).__name__}"
        )
    if threads > 1:
        raise ValueError(f"give threads or communicator, not both, got threads={threads}")
    check_number_of_ranks()
    return Together(communicator, trainer) if communicator.Get_size() > 1 else None


def new_stream(state: dict, rank: int) -> dict:
    """Return the state of a new random generator. It depends on `state` and `rank` only.

    Examples
    --------
    >>> state = np.random.default_rng(0).bit_generator.state
    >>> new_stream(state, 1) == new_stream(state, 1), new_stream(state, 1) == new_stream(state, 2)
    (True, False)
    """
    kind = getattr(np.random, state["bit_generator"])
    bits = kind()
    bits.state = copy.deepcopy(state)
    seed = int(np.random.Generator(bits).integers(1 << 63))
    return kind([seed, rank]).state


def _on_cpu(state: tuple[dict[str, Any], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays, header = state
    return {name: backend.to_numpy(a) for name, a in arrays.items()}, header

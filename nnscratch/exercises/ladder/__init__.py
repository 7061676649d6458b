"""The exercises, one file each: references, inputs, hints and planted mistakes. `LADDER` is the list of exercises."""

import difflib
from importlib import import_module
from pathlib import Path

from ..exercise import Exercise

NAMES = """
sigmoid
numerical_gradient
one_weight_twice
relu
affine
linear_class
tanh_gelu
softmax
mse
softmax_loss
softmax_regression
two_layer_net
momentum
adam
clip_norm
dropout
batchnorm
batchnorm_alt
layernorm
conv1d
conv2d
max_pool
mean_pool
upsample
spatial_batchnorm
groupnorm
word_embedding
word2vec
rnn_step
rnn_bptt
lstm_step
gru_cell
masked_loss
attention
multi_head
""".split()

LADDER: list[Exercise] = [import_module(f"{__name__}.{name}").EXERCISE for name in NAMES]


def named(name: str) -> Exercise:
    """Return an exercise by its name, its number, or the name or path of its file.

    Raises
    ------
    ValueError
        There is no such exercise.
    """
    last = Path(name).name
    for exercise in LADDER:
        if last in (exercise.name, exercise.filename, exercise.filename.removesuffix(".py"), str(exercise.number)):
            return exercise
    close = difflib.get_close_matches(last, [exercise.name for exercise in LADDER], n=1)
    advice = f"Did you mean {close[0]}?" if close else "`nnscratch exercises status` lists all exercises."
    raise ValueError(f"there is no exercise called {name!r}. {advice}")

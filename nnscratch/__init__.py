"""Neural networks from scratch: every layer's forward and backward pass written by hand, on NumPy or CuPy.

>>> import nnscratch as nn
"""

from importlib import import_module

from . import (
    backend,
    data,
    debug,
    explain,
    fairness,
    gradcheck,
    init,
    models,
    optim,
    plotting,
    privacy,
    testing,
    training,
)
from .decoding import beam_search, greedy_search
from .deprecated import renamed
from .generation import generate
from .layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    CrossAttention,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    GRUCell,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    LoRA,
    LSTMCell,
    MaxPool2d,
    MultiheadAttention,
    PositionalEmbedding,
    PositionalEncoding,
    ReLU,
    Residual,
    RMSNorm,
    RNNCell,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    TransformerBlock,
    TransformerDecoderBlock,
    Unrolled,
    Upsample,
    VariationalDropout,
)
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, KLDivLoss, MSELoss, MultiMarginLoss
from .models.gpt2 import load_gpt2, save_gpt2
from .module import Module
from .parameter import Parameter
from .plotting import LivePlot
from .record import record
from .sequential import Sequential
from .serialization import load, load_lora, save, save_lora
from .summary import summary
from .training import History, Trainer, evaluate

__version__ = "0.1.0"
__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "CrossAttention",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GroupNorm",
    "History",
    "HuberLoss",
    "KLDivLoss",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LivePlot",
    "LoRA",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "MultiheadAttention",
    "MultiMarginLoss",
    "Parameter",
    "PositionalEmbedding",
    "PositionalEncoding",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Trainer",
    "TransformerBlock",
    "TransformerDecoderBlock",
    "Unrolled",
    "Upsample",
    "VariationalDropout",
    "backend",
    "beam_search",
    "data",
    "debug",
    "evaluate",
    "exercises",
    "fairness",
    "explain",
    "generate",
    "gradcheck",
    "greedy_search",
    "init",
    "load",
    "load_lora",
    "load_gpt2",
    "models",
    "optim",
    "plotting",
    "privacy",
    "record",
    "save",
    "save_lora",
    "save_gpt2",
    "summary",
    "testing",
    "training",
]

old_name = renamed(__name__, {"MultiHeadAttention": "MultiheadAttention"})


def __getattr__(name):
    # The exercises are imported when they are first used, because most programs do not need them.
    return import_module(".exercises", __name__) if name == "exercises" else old_name(name)

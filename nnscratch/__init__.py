"""Neural networks from scratch: every layer's forward and backward pass written by hand, on NumPy or CuPy.

>>> import nnscratch as nn
"""

from . import backend, data, gradcheck, init, models, optim, plotting, testing, training
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
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    GRUCell,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
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
    Unrolled,
    Upsample,
    VariationalDropout,
)
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, KLDivLoss, MSELoss, MultiMarginLoss
from .module import Module
from .parameter import Parameter
from .record import record
from .sequential import Sequential
from .serialization import load, save
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
    "Unrolled",
    "Upsample",
    "VariationalDropout",
    "backend",
    "data",
    "evaluate",
    "generate",
    "gradcheck",
    "init",
    "load",
    "models",
    "optim",
    "plotting",
    "record",
    "save",
    "summary",
    "testing",
    "training",
]

__getattr__ = renamed(__name__, {"MultiHeadAttention": "MultiheadAttention"})

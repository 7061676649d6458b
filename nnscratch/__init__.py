"""Neural networks from scratch: every layer's forward and backward pass written by hand, on NumPy or CuPy.

>>> import nnscratch as nn
"""

from . import backend, data, init, models, optim, plotting, training
from .generation import generate
from .layers import (
    GRU,
    LSTM,
    RNN,
    Dropout,
    Embedding,
    GRUCell,
    Linear,
    LSTMCell,
    MultiHeadAttention,
    PositionalEmbedding,
    ReLU,
    RNNCell,
    Sigmoid,
    Softmax,
    Tanh,
)
from .losses import CrossEntropyLoss, MSELoss
from .module import Module, Parameter, Sequential
from .serialization import load, save
from .training import History, Trainer, evaluate

__version__ = "0.1.0"
__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "GRUCell",
    "History",
    "LSTMCell",
    "Linear",
    "MSELoss",
    "Module",
    "MultiHeadAttention",
    "Parameter",
    "PositionalEmbedding",
    "RNNCell",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Trainer",
    "backend",
    "data",
    "evaluate",
    "generate",
    "init",
    "load",
    "models",
    "optim",
    "plotting",
    "save",
    "training",
]

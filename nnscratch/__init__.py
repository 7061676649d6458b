"""Neural networks from scratch: every layer's forward and backward pass written by hand, on NumPy or CuPy.

>>> import nnscratch as nn
"""

from . import backend, init, optim
from .layers import LSTM, Dropout, Embedding, Linear, LSTMCell, ReLU, Sigmoid, Softmax, Tanh
from .losses import CrossEntropyLoss, MSELoss
from .module import Module, Parameter, Sequential

__version__ = "0.1.0"
__all__ = [
    "LSTM",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "LSTMCell",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "backend",
    "init",
    "optim",
]

"""The layers, one concept a file; in each, backward stands right under forward."""

from .dropout import Dropout
from .embedding import Embedding
from .linear import Linear
from .lstm import LSTM
from .lstm_cell import LSTMCell
from .relu import ReLU
from .sigmoid import Sigmoid
from .softmax import Softmax
from .tanh import Tanh

__all__ = ["LSTM", "Dropout", "Embedding", "LSTMCell", "Linear", "ReLU", "Sigmoid", "Softmax", "Tanh"]

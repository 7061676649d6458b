"""The layers, one concept a file; in each, backward stands right under forward."""

from .attention import MultiHeadAttention
from .dropout import Dropout
from .embedding import Embedding
from .gru import GRU
from .gru_cell import GRUCell
from .linear import Linear
from .lstm import LSTM
from .lstm_cell import LSTMCell
from .positional_embedding import PositionalEmbedding
from .relu import ReLU
from .rnn import RNN
from .rnn_cell import RNNCell
from .sigmoid import Sigmoid
from .softmax import Softmax
from .tanh import Tanh

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Dropout",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "MultiHeadAttention",
    "PositionalEmbedding",
    "RNNCell",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
]

"""The layers. Each file explains one layer, with backward directly below forward."""

from ..deprecated import renamed
from .attention import MultiheadAttention
from .avg_pool2d import AvgPool2d
from .batch_norm import BatchNorm1d, BatchNorm2d
from .conv1d import Conv1d
from .conv2d import Conv2d
from .cross_attention import CrossAttention
from .dropout import Dropout
from .elu import ELU
from .embedding import Embedding
from .flatten import Flatten
from .gelu import GELU
from .group_norm import GroupNorm
from .gru import GRU
from .gru_cell import GRUCell
from .layer_norm import LayerNorm
from .leaky_relu import LeakyReLU
from .linear import Linear
from .log_softmax import LogSoftmax
from .lora import LoRA
from .lstm import LSTM
from .lstm_cell import LSTMCell
from .max_pool2d import MaxPool2d
from .positional_embedding import PositionalEmbedding
from .positional_encoding import PositionalEncoding
from .relu import ReLU
from .residual import Residual
from .rms_norm import RMSNorm
from .rnn import RNN
from .rnn_cell import RNNCell
from .sigmoid import Sigmoid
from .silu import SiLU
from .softmax import Softmax
from .softplus import Softplus
from .tanh import Tanh
from .transformer_block import TransformerBlock
from .transformer_decoder_block import TransformerDecoderBlock
from .unrolled import Unrolled
from .upsample import Upsample
from .variational_dropout import VariationalDropout

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "CrossAttention",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GroupNorm",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoRA",
    "LogSoftmax",
    "MaxPool2d",
    "MultiheadAttention",
    "PositionalEmbedding",
    "PositionalEncoding",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "Residual",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TransformerBlock",
    "TransformerDecoderBlock",
    "Unrolled",
    "Upsample",
    "VariationalDropout",
]

__getattr__ = renamed(__name__, {"MultiHeadAttention": "MultiheadAttention"})

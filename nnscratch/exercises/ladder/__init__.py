"""The exercises, one file each: references, inputs, hints and planted mistakes. `LADDER` has them in order."""

from importlib import import_module

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

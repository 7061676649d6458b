"""MLP: the multi-layer perceptron, Linear layers with a nonlinear activation between them.

    x (N, sizes[0]) -> Linear -> activation -> Dropout -> Linear -> ... -> Linear -> logits (N, sizes[-1])

Without the activations the network would be one Linear layer: a product of matrices is a matrix. There is no
activation after the last layer, since CrossEntropyLoss takes logits and MSELoss takes any real values.

Reference: Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating errors",
doi:10.1038/323533a0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, positive_int, probability
from ..init import he_uniform
from ..layers import Dropout, Flatten, Linear, ReLU
from ..modes import input_grad_optional, without_input_grad
from ..module import Module
from ..sequential import Sequential


class MLP(Module):
    """A fully connected network.

    Parameters
    ----------
    sizes : sequence of two or more int
        The number of input features, the width of each hidden layer, and the number of outputs.
    activation : Module class
        Called without arguments, once for each hidden layer.
    dropout : float, 0 <= dropout < 1
        The probability of Dropout after each activation. With 0, there are no Dropout layers.
    rng : None, int or numpy.random.Generator
        The source of the random weights, or its seed. The hidden layers' weights are drawn by `init.he_uniform`.

    Attributes
    ----------
    layers : Sequential

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.MLP([64, 32, 10], rng=0)
    >>> model(np.zeros((5, 8, 8), dtype=np.float32)).shape            # images are flattened
    (5, 10)
    >>> model
    MLP(sizes=[64, 32, 10], activation=ReLU, dropout=0.0)  # 2,410 parameters
      (layers) Sequential()  # 2,410 parameters
        (0) Flatten()
        (1) Linear(in_features=64, out_features=32, bias=True)  # 2,080 parameters
          weight: (32, 64)
          bias: (32,)
        (2) ReLU()
        (3) Linear(in_features=32, out_features=10, bias=True)  # 330 parameters
          weight: (10, 32)
          bias: (10,)
    """

    arguments = ("sizes", "activation", "dropout")

    def __init__(
        self,
        sizes: Sequence[int],
        activation: type[Module] = ReLU,
        dropout: float = 0.0,
        *,
        rng: None | int | np.random.Generator = None,
    ):
        if not isinstance(sizes, Sequence) or isinstance(sizes, str) or len(sizes) < 2:
            raise ValueError(f"sizes must be two or more integers (input, hidden widths, output), got {sizes!r}")
        if not (isinstance(activation, type) and issubclass(activation, Module)):
            raise TypeError(f"activation must be a Module's class, such as nn.ReLU (not nn.ReLU()), got {activation!r}")
        self.sizes = [positive_int(f"sizes[{k}]", size) for k, size in enumerate(sizes)]
        self.activation, self.dropout = activation, probability("dropout", dropout)
        rng = backend.generator(rng)
        layers: list[Module] = [Flatten()]
        for inner, outer in zip(self.sizes[:-2], self.sizes[1:-1], strict=True):
            layers += [Linear(inner, outer, init=he_uniform, rng=rng), activation()]
            layers += [Dropout(dropout, rng=rng)] if dropout else []
        self.layers = Sequential(*layers, Linear(*self.sizes[-2:], rng=rng))

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        if math.prod(x.shape[1:]) != self.sizes[0]:
            raise ValueError(
                f"MLP({self.sizes}) needs {self.sizes[0]} features for each example, got x of shape {x.shape}"
            )
        return self.layers(x)

    @input_grad_optional
    def backward(self, dy: Array) -> Array | None:
        if self.needs_input_grad:
            return self.layers.backward(dy)
        with without_input_grad(self.layers):
            return self.layers.backward(dy)

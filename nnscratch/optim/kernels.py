"""The optimisers' updates in place: the fast form of each ``textbook_update``.

`Optimizer.step` calls these functions for one chunk after another, and a chunk stays in the CPU's cache through all
operations of an update. Three things differ from the textbook form:

- Every array is changed in place: no new array of weights or moments is allocated.
- Factors that are the same for all elements are multiplied first, as Python floats.
- On a GPU the whole update is one kernel. Its C code is in the decorator, and the NumPy function under the decorator
  computes the same update, with the same names. The C code updates one element. A kernel may not write to g, so it
  stores the gradient with weight decay in a new variable d. See `backend.fused`.

Each function takes first the arguments that it only reads (`g` and the hyperparameters), then the arrays that it
changes (`w` and the moments). Tests check that every function gives the same results as its textbook form.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from .. import backend
from ..backend import Array


@backend.fused("T g, T lr, T weight_decay", "T w", "w -= lr * (g + weight_decay * w);")
def sgd_step(g: Array, lr: float, weight_decay: float, w: Array) -> None:
    """Update w: plain gradient descent."""
    if weight_decay:
        g = g + weight_decay * w
    w -= lr * g


@backend.fused(
    "T g, T lr, T weight_decay, T momentum, T nesterov",
    "T w, T v",
    """
    const T d = g + weight_decay * w;
    v = momentum * v + d;
    if (nesterov != 0) w -= lr * (d + momentum * v); else w -= lr * v;
    """,
)
def momentum_step(
    g: Array, lr: float, weight_decay: float, momentum: float, nesterov: float, w: Array, v: Array
) -> None:
    """Update w and v: gradient descent with momentum. `nesterov` is 1 or 0."""
    if weight_decay:
        g = g + weight_decay * w
    v *= momentum
    v += g
    w -= lr * (g + momentum * v if nesterov else v)


@backend.fused(
    "T g, T lr, T eps, T weight_decay",
    "T w, T s",
    """
    const T d = g + weight_decay * w;
    s += d * d;
    w -= lr * d / (sqrt(s) + eps);
    """,
)
def adagrad_step(g: Array, lr: float, eps: float, weight_decay: float, w: Array, s: Array) -> None:
    """Update w and s."""
    if weight_decay:
        g = g + weight_decay * w
    s += g * g
    w -= lr * g / (np.sqrt(s) + eps)


def make_rmsprop_step(centered: bool, momentum: bool) -> Callable[..., None]:
    """Return RMSprop's update of w and v, also of a if `centered` is True, and of b if `momentum` is True.

    A kernel has a fixed list of arrays, so each of the four combinations has its own kernel.
    """

    @backend.fused(
        "T g, T lr, T alpha, T one_less_alpha, T eps, T weight_decay, T momentum",
        "T w, T v" + ", T a" * centered + ", T b" * momentum,
        f"""
        const T d = g + weight_decay * w;
        v = alpha * v + one_less_alpha * d * d;
        {"a = alpha * a + one_less_alpha * d;" * centered}
        const T variance = {"v - a * a" if centered else "v"};
        T step = d / (sqrt(variance > (T)0 ? variance : (T)0) + eps);
        {"b = momentum * b + step; step = b;" * momentum}
        w -= lr * step;
        """,
    )
    def rmsprop_step(
        g: Array,
        lr: float,
        alpha: float,
        one_less_alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        w: Array,
        v: Array,
        *a_and_b: Array,
    ) -> None:
        if weight_decay:
            g = g + weight_decay * w
        v *= alpha
        v += one_less_alpha * g * g
        variance = v
        if centered:
            a = a_and_b[0]
            a *= alpha
            a += one_less_alpha * g
            variance = np.maximum(v - a * a, 0)
        step = g / (np.sqrt(variance) + eps)
        if momentum:
            b = a_and_b[-1]
            b *= momentum
            b += step
            step = b
        w -= lr * step

    return rmsprop_step


RMSPROP_STEPS = {kind: make_rmsprop_step(*kind) for kind in itertools.product((False, True), repeat=2)}


def adam(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    *,
    weight_decay: float = 0.0,
    decoupled_weight_decay: float = 0.0,
) -> None:
    """Update w, m and v by step number `t` of Adam, or of AdamW if `decoupled_weight_decay` is not 0.

    The arrays m^ and v^ are not computed. With c1 = 1 - beta1^t and c2 = 1 - beta2^t (section 2 of the paper):

        lr m^ / (sqrt(v^) + eps)  =  lr (m / c1) / (sqrt(v / c2) + eps)
                                  =  (lr sqrt(c2) / c1)  m / (sqrt(v) + eps sqrt(c2))
    """
    beta1, beta2 = betas
    c1, c2 = 1 - beta1**t, 1 - beta2**t
    step, eps = lr * math.sqrt(c2) / c1, eps * math.sqrt(c2)
    keep = 1 - lr * decoupled_weight_decay
    adam_step(g, beta1, 1 - beta1, beta2, 1 - beta2, eps, step, weight_decay, keep, w, m, v)


@backend.fused(
    "T g, T beta1, T one_less_beta1, T beta2, T one_less_beta2, T eps, T step, T weight_decay, T keep",
    "T w, T m, T v",
    """
    w *= keep;
    const T d = g + weight_decay * w;
    m = beta1 * m + one_less_beta1 * d;
    v = beta2 * v + one_less_beta2 * (d * d);
    w -= step * (m / (sqrt(v) + eps));
    """,
)
def adam_step(
    g: Array,
    beta1: float,
    one_less_beta1: float,
    beta2: float,
    one_less_beta2: float,
    eps: float,
    step: float,
    weight_decay: float,
    keep: float,
    w: Array,
    m: Array,
    v: Array,
) -> None:
    """Update w, m and v. `adam` explains the factors. All operations of a chunk use one scratch array."""
    scratch = np.empty_like(w)
    if keep != 1:
        w *= keep
    if weight_decay:
        g = g + weight_decay * w
    m *= beta1
    m += np.multiply(g, one_less_beta1, out=scratch)
    v *= beta2
    np.multiply(g, g, out=scratch)
    scratch *= one_less_beta2
    v += scratch
    np.sqrt(v, out=scratch)
    scratch += eps
    np.divide(m, scratch, out=scratch)
    scratch *= step
    w -= scratch


@backend.fused("T factor", "T g", "g *= factor;")
def scale(factor: float, g: Array | list[Array]) -> None:
    """Multiply g by `factor`: gradient clipping."""
    g *= factor

"""LIME: fit a linear model to the scores near one example, and read the weights of the linear model.

    shapes      m (M, G)    y, w, d (M,)    b (G,)    b0 a number

    m_ng  = 1 or 0, each with probability 1/2                   M random masks; group g is present or not
    y_n   = v(m_n)                                              v: see masking.py
    d_n   = 1 - sqrt(mean of m_n over g)                        the cosine distance between m_n and (1, ..., 1)
    w_n   = exp(-d_n^2 / width^2)                               large for a mask near the example

    minimise over b0 and b      sum over n of w_n (y_n - b0 - m_n . b)^2  +  ridge |b|^2

    solution    mbar, ybar = the means of m_n and y_n, with the weights w_n
                b  = (C^T W C + ridge I)^-1 C^T W (y - ybar)            C = m - mbar, W = diag(w)
                b0 = ybar - mbar . b

    quality     R^2 = 1 - sum w (y - b0 - m b)^2 / sum w (y - ybar)^2

b_g is the attribution of group g. The linear model is only an approximation. R^2 is the part of the variation of y
that the linear model explains. The choice of `width` and of the masks changes b. Kernel SHAP uses the same idea, with
weights that make b equal to the Shapley values.

Reference: Ribeiro, Singh and Guestrin (2016), "'Why should I trust you?': explaining the predictions of any
classifier", arXiv:1602.04938.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import at_least, flag, not_negative, positive_int
from .masking import Value, explain_each
from .scores import Model, Target


def lime(
    model: Model,
    x: Array,
    target: Target,
    baseline: Any = None,
    groups: Any = None,
    samples: int = 1000,
    width: float = 0.25,
    ridge: float = 1.0,
    rng: None | int | np.random.Generator = None,
    return_r2: bool = False,
) -> Array | tuple[Array, np.ndarray]:
    """Return the weights of a linear model that is fitted near each example.

    The inputs of the linear model say which parts of the example are present.

    Parameters
    ----------
    model, x, target, baseline, groups
        See `occlusion`.
    samples : int
        The number of masks, and of forward passes, for each example.
    width : float
        The width of the neighbourhood. A smaller width gives more weight to masks with few missing parts.
    ridge : float
        The factor of the squared weights in the sum that is minimised. It keeps the solution stable.
    rng : None, int or numpy.random.Generator
        The source of the masks, or its seed.
    return_r2 : bool
        True to return R^2 too.

    Returns
    -------
    attributions : array, in the shape of x
        Every element has the attribution of its part.
    r2 : numpy array, shape (N,)
        Only with ``return_r2=True``: the part of the variation of the score that the linear model explains, at most 1.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> a, r2 = nn.explain.lime(lambda x: x[:, 0] - 2 * x[:, 2], x, None, ridge=0, rng=0, return_r2=True)
    >>> bool(np.allclose(a, [[1, 0, -6]])), r2.round(6).tolist()
    (True, [1.0])
    """
    samples, rng = positive_int("samples", samples), backend.generator(rng)
    width, ridge, return_r2 = at_least("width", width, 1e-9), not_negative("ridge", ridge), flag("return_r2", return_r2)
    fits = []

    def one(v: Value, G: int) -> np.ndarray:
        masks = rng.random((samples, G)) < 0.5
        w = neighbourhood(masks, width)
        if w.sum() == 0:
            raise ValueError(f"width={width} is too small: all {samples} masks have the weight 0")
        b, _, r2 = local_model(masks.astype(float), v(masks), w, ridge)
        fits.append(r2)
        return b

    attributions = explain_each(model, x, target, baseline, groups, one)
    return (attributions, np.array(fits)) if return_r2 else attributions


def neighbourhood(masks: np.ndarray, width: float) -> np.ndarray:
    """Return w, shape (M,): the weight of each mask."""
    d = 1 - np.sqrt(masks.mean(axis=1))
    return np.exp(-((d / width) ** 2))


def local_model(m: np.ndarray, y: np.ndarray, w: np.ndarray, ridge: float) -> tuple[np.ndarray, float, float]:
    """Return b, b0 and R^2 of the weighted ridge regression of y on m."""
    m_bar, y_bar = w @ m / w.sum(), w @ y / w.sum()
    C, r = m - m_bar, y - y_bar
    A = (C * w[:, None]).T @ C + ridge * np.eye(m.shape[1])  # (G, G)
    b = np.linalg.lstsq(A, (C * w[:, None]).T @ r, rcond=None)[0]
    variation = w @ r**2
    r2 = 1 - w @ (r - C @ b) ** 2 / variation if variation > 1e-24 * (w @ y**2) else 1.0  # 1 if y is constant
    return b, y_bar - m_bar @ b, float(r2)

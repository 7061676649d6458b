"""The score that an explanation explains, and its gradient with respect to the input.

    x (N, ...) -> model -> y        s_n = y[n, target_n]            y (N, C): one score for each class
                                    s_n = y[n, -1, target_n]        y (N, T, V): one score for each next token
                                    s_n = y[n]                      y (N,), with target=None

s is a logit if the model returns logits. Every example has its own score and its own explanation.

An explanation describes how s depends on an array of numbers, the *features*. If x is an array of floats, such as
images or the rows of a table, x itself is that array. If x holds token ids, it has no gradient. The features are then
the vectors e (N, T, D) that the model's Embedding returns for the ids.

A gradient ds/de has D numbers for each token. Each method combines these numbers into one number in its own way.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import FLOATS, check_ids
from ..layers import Embedding
from ..modes import eval_mode, eval_with_backward
from ..module import Module

Target = int | Array | None
ROWS = 64  # the approximate number of examples in a batch
Model = Module | Callable[[Array], Any]


def scores(model: Model, x: Array, target: Target, features: Array | None = None) -> Array:
    """Return s, the score of the target for each example.

    Parameters
    ----------
    model : Module or function
        It takes x and returns y, or a tuple whose first element is y. A Module computes as in ``eval()`` mode.
    x : array, shape (N, ...)
        Floats, or token ids of shape (N, T).
    target : int, integer array of shape (N,), or None
        The index of the class, or of the next token. None if y has the shape (N,).
    features : array, optional
        For token ids: vectors of shape (N, T, D), which replace the output of the model's Embedding.

    Returns
    -------
    array, shape (N,)

    Raises
    ------
    TypeError, ValueError
        x is not an array, y has none of the shapes above, or `target` is not an index of y.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> print(nn.explain.scores(lambda x: x * x, x, target=1))
    [ 4. 16.]
    """
    check_input(x)
    check_target(target, x)
    if not isinstance(model, Module):
        if not callable(model) or isinstance(model, type):
            raise TypeError(f"model must be a Module or a function of x, got {model!r}")
        return _select(model(x), x, target)[0]
    if features is not None and is_tokens(x):
        with eval_with_backward(model), _replaced(embedding_of(model), features):
            return _select(model(x), x, target)[0]
    with eval_mode(model):
        return _select(model(x), x, target)[0]


def score_gradients(model: Module, x: Array, target: Target, features: Array | None = None) -> tuple[Array, Array]:
    """Return s, shape (N,), and ds/d(features), in the shape of the features. See `scores`."""
    check_input(x)
    check_target(target, x)
    if not isinstance(model, Module):
        raise TypeError(
            f"this explanation needs the gradient of a Module, got {type(model).__name__}. Occlusion, LIME and Kernel "
            f"SHAP need no gradient"
        )
    features = features_of(model, x) if features is None else features
    with contextlib.ExitStack() as stack:
        stack.enter_context(eval_with_backward(model))
        gradients = stack.enter_context(_replaced(embedding_of(model), features)) if is_tokens(x) else None
        s, dy = _select(model(x if gradients is not None else features), x, target)
        dx = model.backward(dy)
    dx = gradients[0] if gradients is not None else dx[0] if isinstance(dx, tuple) else dx
    if getattr(dx, "shape", None) != features.shape:
        raise ValueError(
            f"{type(model).__name__}.backward must return dL/dx, of shape {features.shape}, got "
            f"{getattr(dx, 'shape', type(dx).__name__)}"
        )
    return s, dx


def gradients_at(model: Module, x: Array, target: Target, points: Iterable[Array]) -> Iterator[Array]:
    """Yield ds/d(features) at each point. A point is an array in the shape of the features.

    Several points are computed as one batch, because many small passes would take longer.
    """
    check_target(target, x)
    points, group = iter(points), max(1, ROWS // len(x))
    while some := list(itertools.islice(points, group)):
        xp, k = backend.array_module(x), len(some)
        targets = np.tile(backend.to_numpy(target), k) if getattr(target, "ndim", 0) else target
        _, g = score_gradients(model, xp.concatenate([x] * k), targets, xp.concatenate(some))
        yield from g.reshape(k, *some[0].shape)


def features_of(model: Model, x: Array) -> Array:
    """Return the features of x: x itself if it holds floats, and the Embedding's vectors if it holds token ids."""
    if not is_tokens(x):
        return x
    embedding = embedding_of(model)
    check_ids(embedding, "x", x, embedding.num_embeddings)  # a negative id would count from the end of the table
    return embedding.weight.data[x]


def baseline_of(model: Model, x: Array, baseline: Any) -> Array:
    """Return the features of the baseline, in the shape of the features of x.

    Parameters
    ----------
    model, x
    baseline : None, number or array
        None for zeros. For floats: a number, or an array that broadcasts to the shape of x. For token ids: the id of
        the token that replaces each token, or an array of ids.
    """
    features = features_of(model, x)
    xp = backend.array_module(features)
    if baseline is None:
        return xp.zeros_like(features)
    if is_tokens(x):
        ids, below = baseline_ids(x, baseline), embedding_of(model).num_embeddings
        if backend.cheap_to_read(ids) and (ids.min() < 0 or ids.max() >= below):
            raise ValueError(f"baseline must hold token ids in 0..{below - 1}, got {baseline}")
        return embedding_of(model).weight.data[ids]
    return xp.broadcast_to(xp.asarray(_checked_baseline(x, baseline), dtype=x.dtype), x.shape)


def baseline_ids(x: Array, baseline: Any) -> Array:
    """Return the baseline of token ids, in the shape of x."""
    xp = backend.array_module(x)
    return xp.broadcast_to(xp.asarray(_checked_baseline(x, baseline), dtype=x.dtype), x.shape)


def _checked_baseline(x: Array, baseline: Any) -> Array:
    """Return the baseline as an array. Raise if its dtype does not fit x, or if it does not broadcast to x."""
    baseline = np.asarray(baseline) if np.isscalar(baseline) else baseline
    backend.array_module(baseline)
    if baseline.dtype.kind not in ("iu" if is_tokens(x) else "iuf"):
        kind = "token ids" if is_tokens(x) else "numbers"
        raise TypeError(f"baseline must hold {kind}, as x does, got {baseline.dtype}")
    try:
        fits = np.broadcast_shapes(baseline.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"baseline must broadcast to the shape of x, {x.shape}, got {baseline.shape}")
    return baseline


def per_input(values: Array, x: Array) -> Array:
    """Return `values`, one number for each feature, in the shape of x. For token ids, sum over the features."""
    return values.sum(axis=-1) if is_tokens(x) else values


def is_tokens(x: Array) -> bool:
    """True if x holds token ids, False if it holds floats."""
    return x.dtype.kind in "iu"


def check_input(x: Array) -> None:
    """Raise unless x is a batch of examples, with floats or token ids."""
    try:
        backend.array_module(x)
    except TypeError as error:
        raise TypeError(f"x: {error}") from None
    if x.dtype not in FLOATS and not is_tokens(x):
        raise TypeError(f"x must hold floats or integer token ids, got {x.dtype}")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"x must be a batch, of shape (N, ...), with at least one example, got {x.shape}")


def check_target(target: Target, x: Array) -> None:
    """Raise unless `target` is None, an integer, or an array of one integer for each example."""
    if target is None:
        return
    shape, kind = getattr(target, "shape", ()), np.asarray(target).dtype.kind if np.isscalar(target) else None
    kind = target.dtype.kind if hasattr(target, "dtype") else kind
    if kind is None or kind not in "iu" or shape not in ((), (len(x),)):
        raise ValueError(
            f"target must be an integer, or an array of {len(x)} integers, one for each example, got {target!r}"
        )


def embedding_of(model: Model) -> Embedding:
    """Return the only Embedding of the model. Raise if it has none, or several."""
    modules = model.modules() if isinstance(model, Module) else ()
    found = [module for module in modules if isinstance(module, Embedding)]
    if len(found) != 1:
        raise TypeError(
            f"x holds integers, so the model must be a Module with one Embedding, and {type(model).__name__} has "
            f"{len(found)}. If x does not hold token ids, use x.astype(numpy.float32)"
        )
    return found[0]


@contextlib.contextmanager
def _replaced(layer: Embedding, vectors: Array) -> Iterator[list[Array]]:
    """Let `layer` return `vectors` inside the ``with`` block. Backward appends their gradient to the yielded list."""
    gradients: list[Array] = []
    before = {way: vars(layer)[way] for way in ("forward", "backward") if way in vars(layer)}
    vars(layer).update(forward=lambda ids: vectors, backward=gradients.append)
    try:
        yield gradients
    finally:
        for way in ("forward", "backward"):
            vars(layer).pop(way, None)
        vars(layer).update(before)


def _select(y: Any, x: Array, target: Target) -> tuple[Array, Array]:
    """Return the target's score in y for each example, and the gradient of the sum of all scores with respect to y."""
    y = y[0] if isinstance(y, tuple) else y
    N, shape = len(x), getattr(y, "shape", None)
    if shape is None or len(shape) not in (1, 2, 3) or shape[0] != N:
        raise ValueError(
            f"an explanation needs a model that returns y of shape (N, C), (N, T, V) or (N,) for x with N = {N}, got "
            f"{type(y).__name__ if shape is None else shape}"
        )
    xp = backend.array_module(y)
    dy = xp.zeros_like(y)
    if y.ndim == 1:
        if target is not None:
            raise ValueError(f"target must be None, since the model returns one score for each example, got {target!r}")
        dy[...] = 1
        return _finite(y), dy
    classes = y.shape[-1]
    ids = np.asarray(target) if target is None or np.isscalar(target) else backend.to_numpy(target)
    if target is None or ids.min() < 0 or ids.max() >= classes:
        raise ValueError(
            f"target must be an integer in 0..{classes - 1}, or an array of {N} such integers, got {target!r}"
        )
    rows, (columns,) = xp.arange(N), to_device_like(y, np.broadcast_to(ids, (N,)).copy())
    where = (rows, columns) if y.ndim == 2 else (rows, -1, columns)
    dy[where] = 1
    return _finite(y[where]), dy


def _finite(s: Array) -> Array:
    """Return s. Raise if a score is not finite: then each of its attributions would be NaN, or 0 by accident."""
    on_cpu = backend.to_numpy(s)
    if not np.isfinite(on_cpu).all():
        wrong = float(on_cpu[~np.isfinite(on_cpu)][0])
        raise ValueError(f"a score of the model is {wrong}: are x, the baseline and the model's weights finite?")
    return s


def to_device_like(like: Array, *arrays: np.ndarray) -> tuple[Array, ...]:
    """Return `arrays` on the device of `like`."""
    return tuple(backend.to_device(array, backend.device_of(like)) for array in arrays)

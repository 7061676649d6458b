"""Top contexts: at which positions of a text is one unit of a network most active?

    a_t = h_t[unit]         h_t: the output of a layer after token t        the k largest a_t, each with its neighbours

A text of any length is read in windows of `context` tokens that overlap by half. Only the activations in the second
half of a window are used. So each of them has at least context / 2 tokens before it, except at the start of the text.

If you name a unit after its top contexts, the name is a guess. Also check texts that should not activate the unit.

References
----------
Karpathy, Johnson and Fei-Fei (2016), "Visualizing and understanding recurrent networks", arXiv:1506.02078. Zhou,
Khosla, Lapedriza, Oliva and Torralba (2015), "Object detectors emerge in deep scene CNNs", arXiv:1412.6856: the inputs
that activate a unit most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backend
from ..checks import check_instance, check_tokenizer, count, positive_int
from ..modes import eval_mode
from ..module import Module
from ..parameter import to_device_of
from ..record import record
from .scores import ROWS


@dataclass
class Context:
    """A place in a text. ``print`` shows the activation, and the text with the token in brackets.

    Attributes
    ----------
    activation : float
    position : int
        The number of the token, from 0.
    before, token, after : str

    Examples
    --------
    >>> print(Context(0.987, 4, "It i", "s", " a truth"))
    +0.987  It i[s] a truth
    """

    activation: float
    position: int
    before: str
    token: str
    after: str

    def __str__(self) -> str:
        text = f"{self.before}[{self.token}]{self.after}"
        return f"{self.activation:+.3f}  " + text.replace("\n", "\u21b5")


def top_contexts(
    model: Module, tokenizer: Any, text: str, layer: str, unit: int, k: int = 10, width: int = 20, context: int = 64
) -> list[Context]:
    """Return the places of a text at which one unit is most active.

    Parameters
    ----------
    model : Module
        A model that reads tokens, such as a `LanguageModel` or a `TransformerLM`. It computes as in ``eval()`` mode.
    tokenizer : CharTokenizer, WordTokenizer, SplitTokenizer or BPETokenizer
    text : str
    layer : str
        The name of a module of the model with an output of shape (N, T, H), such as ``"lstm"`` or
        ``"blocks.1.activation"``: see `layer_activations`.
    unit : int
        0..H-1.
    k : int
        The number of places. Two places are at least `width` tokens apart.
    width : int
        The number of tokens shown before and after each place.
    context : int
        The number of tokens in a window.

    Returns
    -------
    list of Context
        The most active place first.

    Examples
    --------
    >>> import nnscratch as nn
    >>> tokenizer = nn.data.CharTokenizer.from_text("abc")
    >>> model = nn.models.LanguageModel(len(tokenizer), 2, 8, rng=0)
    >>> model.embedding.weight.data[:, 0] = [0, 0, 5]                    # unit 0 is active at "c"
    >>> for found in nn.explain.top_contexts(model, tokenizer, "abacabaab", "embedding", unit=0, k=2, width=3):
    ...     print(found)
    +5.000  aba[c]aba
    +0.000  [a]bac
    """
    check_instance("top_contexts", "model", model, Module)
    check_tokenizer("top_contexts", tokenizer)
    k, width, context = positive_int("k", k), positive_int("width", width), positive_int("context", context)
    ids = np.asarray(tokenizer.encode(text))
    if not len(ids):
        raise ValueError("the text is empty")
    a = _activations(model, ids, layer, count("unit", unit), min(context, len(ids)))
    found: list[Context] = []
    for t in np.argsort(-a, kind="stable").tolist():
        if all(abs(t - other.position) >= width for other in found):
            around = ids[max(0, t - width) : t], ids[t : t + 1], ids[t + 1 : t + 1 + width]
            found.append(Context(float(a[t]), t, *map(tokenizer.decode, around)))
        if len(found) == k:
            break
    return found


def _activations(model: Module, ids: np.ndarray, layer: str, unit: int, context: int) -> np.ndarray:
    """Return the activation of the unit at each token, shape (T,)."""
    T, half = len(ids), max(1, context // 2)
    starts = np.unique([*range(0, T - context, half), T - context])
    a = np.full(T, np.nan)
    for some in np.array_split(starts, -(-len(starts) // ROWS)):
        windows = ids[some[:, None] + np.arange(context)]  # (N, context)
        with eval_mode(model), record(model) as seen:
            model(*to_device_of(model, windows))
        if layer not in seen or not seen[layer].outputs:
            names = ", ".join(name for name, of in seen.items() if name and of.outputs)
            raise ValueError(
                f"layer must be the name of a module that forward calls, got {layer!r}; the names are {names}"
            )
        h = seen[layer].output
        if h.ndim != 3 or h.shape[:2] != windows.shape or unit >= h.shape[2]:
            raise ValueError(
                f"the output of {layer} must have the shape (N, T, H) with H > unit={unit}, got {h.shape} for tokens "
                f"of shape {windows.shape}. The context of a Transformer must be at least {context}"
            )
        for start, row in zip(some, backend.to_numpy(h[..., unit]), strict=True):
            first = 0 if start == 0 else context - half
            a[start + first : start + context] = row[first:]
    return a

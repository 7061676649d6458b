"""Writing text with a language model: predict the next token, draw one, read it, and again.

    logits -> / temperature -> keep the k likeliest -> keep the likeliest that hold p of the probability -> draw

The state is carried from token to token and nothing else is: the thousandth token costs what the first did, in time
and in memory.

Reference for top-p: Holtzman, Buys, Du, Forbes and Choi (2020), "The curious case of neural text degeneration".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import backend
from .checks import check_token_ids, finite, not_negative, positive_int
from .module import Module, eval_mode, to_device_of


def generate(
    model: Module,
    tokenizer: Any,
    prompt: str,
    max_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | None = None,
    rng: None | int | np.random.Generator = None,
) -> str:
    """`prompt`, and what the model writes after it.

    Parameters
    ----------
    model : Module
        Called as ``logits, state = model(tokens, state)``, in ``eval()`` mode; its mode comes back as it was.
    tokenizer : CharTokenizer or WordTokenizer
        ``<unk>``, where it has one, is never written.
    prompt : str
        At least one token; the model reads it first.
    max_tokens : int
    temperature : float
        1 draws from the model's probabilities; below 1 keeps closer to the likeliest; 0 always takes the likeliest.
    top_k : int, optional
        Draw among the k likeliest tokens only.
    top_p : float, optional
        Draw among the fewest tokens that together have this probability.
    stop : str, optional
        Stop before writing this token, such as ``"<eos>"``.
    rng : None, int or numpy.random.Generator

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The prompt is empty or holds unknown characters, `stop` is no token, or a setting is out of range.

    Examples
    --------
    >>> import nnscratch as nn
    >>> tokenizer = nn.data.CharTokenizer.from_text("abc")
    >>> model = nn.models.LanguageModel(len(tokenizer), 4, 8, rng=0)
    >>> nn.generate(model, tokenizer, "ab", max_tokens=5, temperature=0)
    'abaaaaa'
    """
    ids = tokenizer.encode(prompt)
    written = list(generate_ids(model, tokenizer, ids, max_tokens, temperature, top_k, top_p, stop, rng))
    return tokenizer.decode(np.concatenate([ids, np.array(written, dtype=ids.dtype)]))


def generate_ids(
    model: Module,
    tokenizer: Any,
    prompt: np.ndarray,
    max_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | None = None,
    rng: None | int | np.random.Generator = None,
) -> Iterator[int]:
    """Like :func:`generate`, one token id at a time as they are drawn, for a prompt already encoded."""
    positive_int("max_tokens", max_tokens)
    if len(prompt) == 0:
        raise ValueError("the prompt is empty; the model needs at least one token to start from")
    not_negative("temperature", temperature)
    if top_k is not None:
        positive_int("top_k", top_k)
    if top_p is not None and not 0 < finite("top_p", top_p) <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {top_p!r}")
    rng = backend.generator(rng)
    stop_id = None if stop is None else tokenizer.id(stop)
    never = tokenizer.id("<unk>") if "<unk>" in tokenizer.vocabulary else None
    return _draw(model, prompt, max_tokens, temperature, top_k, top_p, stop_id, never, rng)


def _draw(model, prompt, max_tokens, temperature, top_k, top_p, stop_id, never, rng) -> Iterator[int]:
    device, state = model.parameters()[0].device, None
    check_token_ids(model, "tokens", np.asarray(prompt))
    (tokens,) = to_device_of(model, np.asarray(prompt)[None, :])  # (1, T)
    modules = list(model.modules())  # looked for once: for a small model that takes longer than to compute a token
    for _ in range(max_tokens):
        with eval_mode(*modules):  # inside the loop: between two tokens the caller may train
            logits, state = model(backend.to_device(tokens, device), state)
        scores = backend.to_numpy(logits[0, -1]).astype(np.float64)  # (V,)
        if not np.isfinite(scores).all():
            raise FloatingPointError("the model's logits are not finite: its weights are broken")
        if never is not None:
            scores[never] = -np.inf
        token = choose(scores, temperature, top_k, top_p, rng)
        if token == stop_id:
            return
        yield token
        tokens = np.array([[token]])


def choose(
    scores: np.ndarray, temperature: float, top_k: int | None, top_p: float | None, rng: np.random.Generator
) -> int:
    """Draw one token by its score, shape (V,)."""
    if temperature == 0:
        return int(scores.argmax())
    if top_k is not None and top_k < len(scores):
        least = np.partition(scores, -top_k)[-top_k]  # the k-th; of several equal to it, the first fill up the k
        equal = np.flatnonzero(scores == least)[top_k - np.count_nonzero(scores > least) :]
        scores = np.where(scores < least, -np.inf, scores)
        scores[equal] = -np.inf
    with np.errstate(over="ignore"):  # the largest is taken off: a temperature near 0 makes the others -infinity
        scores = (scores - scores.max()) / temperature
    p = np.exp(scores)  # the softmax but for the division by the sum, which drawing does not need
    if top_p is not None:
        p /= p.sum()
        order = np.argsort(-p, kind="stable")
        enough = int(np.searchsorted(np.cumsum(p[order]), top_p)) + 1
        p[order[enough:]] = 0
    below = p.cumsum()
    below /= below[-1]  # exactly 1 at the end, and a number uniform in [0, 1) always falls below it
    return int(below.searchsorted(rng.random(), side="right"))

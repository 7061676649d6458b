"""Generate text with a language model, token by token: predict the next token, draw it, and feed it back.

    logits -> / temperature -> keep the k most likely (top-k) -> keep the fewest with probability p (top-p) -> draw

Only the model's state passes from one token to the next. For a recurrent model, every token costs the same time and
memory.

Reference for top-p: Holtzman, Buys, Du, Forbes and Choi (2020), "The curious case of neural text degeneration".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import backend
from .checks import check_token_ids, finite, not_negative, positive_int
from .modes import eval_mode
from .module import Module, to_device_of


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
    """Return `prompt` followed by the text that the model generates.

    Parameters
    ----------
    model : Module
        Called as ``logits, state = model(tokens, state)``, in ``eval()`` mode. Afterwards its mode is what it was.
    tokenizer : CharTokenizer, WordTokenizer, SplitTokenizer or BPETokenizer
        If its vocabulary contains ``<unk>``, that token is never drawn.
    prompt : str
        The start of the text, at least one token.
    max_tokens : int
        The largest number of tokens to generate.
    temperature : float
        At 1, tokens are drawn with the model's probabilities. A lower value prefers likely tokens more, and 0 always
        takes the most likely one.
    top_k : int, optional
        Draw only from the k most likely tokens.
    top_p : float, optional
        Draw only from the fewest tokens whose probabilities sum to at least p.
    stop : str, optional
        Stop when this token is drawn, such as ``"<eos>"``. It is not part of the result.
    rng : None, int or numpy.random.Generator
        The source of randomness, or its seed.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The prompt is empty or contains unknown characters, `stop` is not a token, or a setting is out of range.
    FloatingPointError
        The model's logits are not finite.

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
    """Yield the token ids that `generate` draws, one at a time. The prompt is an array of ids."""
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
    modules = list(model.modules())  # listed once: in a small model, a search for them takes longer than a token
    for _ in range(max_tokens):
        with eval_mode(*modules):  # not around the loop: the caller may train between two tokens
            logits, state = model(backend.to_device(tokens, device), state)
        scores = backend.to_numpy(logits[0, -1]).astype(np.float64)  # (V,)
        if not np.isfinite(scores).all():
            raise FloatingPointError("the model's logits are not finite (NaN or infinity); check its weights")
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
    """Draw one token id, given the scores (logits) of all tokens, shape (V,)."""
    if temperature == 0:
        return int(scores.argmax())
    if top_k is not None and top_k < len(scores):
        least = np.partition(scores, -top_k)[-top_k]  # the k-th largest; of equal scores, keep the first
        equal = np.flatnonzero(scores == least)[top_k - np.count_nonzero(scores > least) :]
        scores = np.where(scores < least, -np.inf, scores)
        scores[equal] = -np.inf
    with np.errstate(over="ignore"):  # a temperature near 0 makes all but the largest -infinity
        scores = (scores - scores.max()) / temperature
    p = np.exp(scores)  # the softmax without its division by the sum, which drawing does not need
    if top_p is not None:
        p /= p.sum()
        order = np.argsort(-p, kind="stable")
        enough = int(np.searchsorted(np.cumsum(p[order]), top_p)) + 1
        p[order[enough:]] = 0
    below = p.cumsum()
    below /= below[-1]  # the last element is exactly 1, above every draw from [0, 1)
    return int(below.searchsorted(rng.random(), side="right"))

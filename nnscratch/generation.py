"""Generate text with a language model, token by token: predict the next token, draw it, and feed it back.

    logits, state = model(tokens, state)  -> draw a token (sampling.py)  -> tokens = the drawn token  -> again

Only the model's state passes from one token to the next. In a recurrent model, the state is a vector. In a Transformer,
it is the keys and values of the tokens in its window. So the model reads each token once, and the cost of a token does
not grow with the text. A model without a state reads the whole text again for every token.

`sampling.py` says how a token is drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from . import backend
from .checks import check_instance, check_token_ids, check_tokenizer, positive_int
from .modes import eval_mode
from .module import Module
from .parameter import to_device_of
from .sampling import Sampling

UNK = "<unk>"


def generate(
    model: Module,
    tokenizer: Any,
    prompt: str,
    max_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | Iterable[str] | None = None,
    rng: None | int | np.random.Generator = None,
    *,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    n: int | None = None,
    context: int | None = None,
) -> str | list[str]:
    """Return `prompt` followed by the text that the model generates.

    Parameters
    ----------
    model : Module
        A model with a method ``init_hidden(batch_size)`` is called as ``logits, state = model(tokens, state)``, so it
        reads each token once. If it also has ``repeat_hidden(state, n)``, it reads the prompt once for all n texts. Any
        other model is called as ``logits = model(tokens)`` with the whole text. The tokens have the shape (N, T), the
        logits (N, T, V). The model runs in ``eval()`` mode and returns to its earlier mode afterwards.
    tokenizer : CharTokenizer, WordTokenizer, SplitTokenizer or BPETokenizer
        If its vocabulary contains ``<unk>``, that token is never drawn.
    prompt : str
        The start of the text, at least one token.
    max_tokens : int
        The largest number of tokens to generate.
    temperature : float
        At 1, tokens are drawn with the model's probabilities. The smaller the value, the more often likely tokens are
        drawn. At 0, the most likely token is always taken.
    top_k : int, optional
        Draw only from the `top_k` most likely tokens.
    top_p : float, optional
        Draw only from the smallest set of tokens whose probabilities sum to at least `top_p`.
    stop : str or iterable of str, optional
        Stop when the generated text contains this string, or when this token is drawn, such as ``"<eos>"``. The result
        does not contain it. `prompt` may contain it.
    rng : None, int or numpy.random.Generator
        The source of randomness, or its seed.
    min_p : float, optional
        Draw only from the tokens whose probability is at least `min_p` times the largest probability.
    repetition_penalty : float
        A value above 1 makes a token less likely if the text or the prompt already contains it.
    n : int, optional
        Return a list of n texts. They are generated together, which is faster than one after another.
    context : int, optional
        For a model without a state: the largest number of tokens that it reads at once. Older tokens are dropped.

    Returns
    -------
    str, or list of str
        A list if `n` is given.

    Raises
    ------
    ValueError
        The prompt is empty or contains unknown characters, the tokenizer cannot write `stop`, or a setting is out of
        range.
    FloatingPointError
        A logit is NaN or +infinity, or all logits are -infinity. A token with the logit -infinity is never drawn.

    Examples
    --------
    >>> import nnscratch as nn
    >>> tokenizer = nn.data.CharTokenizer.from_text("abc")
    >>> model = nn.models.LanguageModel(len(tokenizer), 4, 8, rng=0)
    >>> nn.generate(model, tokenizer, "ab", max_tokens=5, temperature=0)
    'abaaaaa'
    >>> nn.generate(model, tokenizer, "ab", max_tokens=5, n=2, rng=0)
    ['abbacbb', 'abaaccc']
    """
    check_tokenizer("generate", tokenizer)
    count = 1 if n is None else positive_int("n", n)
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    stops = _Stops(tokenizer, stop)
    ids = tokenizer.encode(prompt)
    _warn_of_unknown_words(tokenizer, prompt, ids)
    written: list[list[int]] = [[] for _ in range(count)]
    texts: list[str | None] = [None] * count
    for tokens in _draw(model, ids, max_tokens, count, sampling, _never(tokenizer), rng, len(tokenizer), context):
        for k in range(count):
            if texts[k] is None and tokens[k] in stops.ids:
                texts[k] = _text(tokenizer, ids, written[k])
            elif texts[k] is None:
                written[k].append(tokens[k])
                texts[k] = stops.text_before(ids, written[k])
        if None not in texts:
            break
    texts = [_text(tokenizer, ids, w) if t is None else t for t, w in zip(texts, written, strict=True)]
    return texts[0] if n is None else texts


def _warn_of_unknown_words(tokenizer: Any, prompt: str, ids: np.ndarray) -> None:
    """Warn if tokens of the prompt are not in the vocabulary. The model reads ``<unk>`` in their positions."""
    if UNK not in tokenizer.vocabulary:
        return
    unknown = int((np.asarray(ids) == tokenizer.id(UNK)).sum()) - prompt.count(UNK)  # the prompt may contain <unk>
    if unknown > 0:
        warnings.warn(
            f"{unknown} of the {len(ids)} tokens of the prompt are not in the vocabulary, so the model reads {UNK} "
            f"for them: {tokenizer.decode(ids)!r}",
            stacklevel=3,
        )


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
    """Yield the token ids that `generate` draws, one at a time. `prompt` is an array of ids, and `stop` is a token."""
    sampling = Sampling(temperature, top_k, top_p)
    stop_id = None if stop is None else tokenizer.id(stop)
    for (token,) in _draw(model, prompt, max_tokens, 1, sampling, _never(tokenizer), rng):
        if token == stop_id:
            return
        yield token


def _draw(
    model: Module,
    prompt: np.ndarray,
    max_tokens: int,
    count: int,
    sampling: Sampling,
    never: int | None,
    rng: None | int | np.random.Generator,
    vocabulary: int | None = None,
    context: int | None = None,
) -> Iterator[list[int]]:
    """Yield the next token of each of `count` texts, `max_tokens` times.

    `never` is the id of a token that must not be drawn, or None. `vocabulary` is the number of tokens that the
    tokenizer knows. If it is given, ids from this number on are not drawn either.
    """
    check_instance("generate", "model", model, Module)
    positive_int("max_tokens", max_tokens)
    if context is not None:
        positive_int("context", context)
    if len(prompt) == 0:
        raise ValueError("the prompt is empty; the model needs at least one token to start from")
    prompt, rng = np.asarray(prompt), backend.generator(rng)
    check_token_ids(model, "tokens", prompt)
    modules = list(model.modules())  # listed once: in a small model, listing them takes longer than computing a token
    stateful, seen, state = hasattr(model, "init_hidden"), None, None
    rows = 1 if hasattr(model, "repeat_hidden") or not stateful else count
    tokens = np.repeat(prompt[None], rows, axis=0)  # (rows, T): the n texts have the same prompt
    for _ in range(max_tokens):
        with eval_mode(*modules):  # inside the loop, because the caller may train between two tokens
            (here,) = to_device_of(model, tokens)
            if stateful:
                logits, state = model(here, model.init_hidden(rows) if state is None else state)
            else:
                logits = model(here)
        scores = _scores(logits, tokens.shape, vocabulary)  # (rows, V)
        if rows < count:
            scores, tokens = np.repeat(scores, count, axis=0), np.repeat(tokens, count, axis=0)
            state, rows = model.repeat_hidden(state, count) if stateful else None, count
        if never is not None:
            scores[:, never] = -np.inf
        if sampling.repetition_penalty != 1 and seen is None:
            seen = np.zeros(scores.shape, dtype=bool)
            seen[:, prompt] = True
        drawn = []
        for k in range(count):
            drawn.append(sampling.choose(scores[k], rng, None if seen is None else seen[k]))
            if seen is not None:
                seen[k, drawn[k]] = True
        yield drawn
        new = np.array(drawn)[:, None]  # (count, 1)
        tokens = new if stateful else np.concatenate([tokens, new], axis=1)[:, -(context or 0) :]


def _scores(logits: Any, shape: tuple[int, int], vocabulary: int | None) -> np.ndarray:
    """Return the logits after the last token, shape (N, V), as float64 on the CPU."""
    if getattr(logits, "ndim", None) != 3 or logits.shape[:2] != shape:
        came = getattr(logits, "shape", type(logits).__name__)
        raise ValueError(
            f"generate needs a model that returns logits of shape (N, T, V) for tokens of shape {shape}, got {came}. A "
            f"model that returns (logits, state) needs a method init_hidden(batch_size)"
        )
    scores = backend.to_numpy(logits[:, -1]).astype(np.float64)
    if not np.isfinite(scores.max(axis=1)).all():  # -inf may ban some tokens, but not all tokens
        raise FloatingPointError(
            "the model's logits are not finite (NaN, +infinity or all -infinity); check its weights"
        )
    if vocabulary is not None and scores.shape[1] < vocabulary:
        raise ValueError(f"the model predicts {scores.shape[1]} tokens, but the tokenizer has {vocabulary}")
    if vocabulary is not None:
        scores[:, vocabulary:] = -np.inf  # some models predict more tokens than their tokenizer has
    return scores


def _never(tokenizer: Any) -> int | None:
    return tokenizer.id(UNK) if UNK in tokenizer.vocabulary else None


def _text(tokenizer: Any, prompt: np.ndarray, written: list[int]) -> str:
    return tokenizer.decode(np.concatenate([prompt, np.array(written, dtype=prompt.dtype)]))


class _Stops:
    """The strings at which a text ends: single tokens, and texts that may begin or end inside a token."""

    def __init__(self, tokenizer: Any, stop: str | Iterable[str] | None):
        self.tokenizer, self.ids, self.texts = tokenizer, set(), []
        for text in [] if stop is None else [stop] if isinstance(stop, str) else stop:
            if not isinstance(text, str) or not text:
                raise ValueError(f"stop must be a string that is not empty, or several of them, got {text!r}")
            if text in tokenizer.vocabulary:
                self.ids.add(tokenizer.id(text))
            ids = tokenizer.encode(text)
            if text != UNK and _never(tokenizer) in ids.tolist():
                raise ValueError(f"stop {text!r} holds a token that is not in the vocabulary, so it is never generated")
            self.texts.append(tokenizer.decode(ids))  # in the form that the tokenizer writes, for example in lower case
            if not self.texts[-1]:
                raise ValueError(f"stop {text!r} holds no token of this tokenizer")
        # A match ends in the newest token, and each token except <eos> writes at least one byte. So a match lies in
        # the latest `self.tokens` tokens.
        self.tokens = 8 + 2 * max([len(text.encode()) for text in self.texts], default=0)

    def text_before(self, prompt: np.ndarray, written: list[int]) -> str | None:
        """Return the text before the first stop in the generated text, or None if there is none."""
        if not self.texts:
            return None
        tail = written[-self.tokens :]
        if len(tail) < self.tokens:
            tail = [prompt[-1], *tail]  # decode writes a space before a word only if a token precedes the word
        end = self.tokenizer.decode(tail)
        if not any(text in end for text in self.texts):
            return None
        whole, start = _text(self.tokenizer, prompt, written), len(self.tokenizer.decode(prompt))
        found = [k for k in (whole.find(text, start) for text in self.texts) if k >= 0]
        return whole[: min(found)] if found else None

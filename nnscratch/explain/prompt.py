"""Explain the next token after a prompt: which tokens of the prompt caused it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backend
from ..checks import check_instance, check_tokenizer, one_of
from ..models import TransformerLM
from ..modes import eval_mode
from ..module import Module
from ..parameter import to_device_of
from .gradient_x_input import gradient_x_input
from .integrated_gradients import integrated_gradients
from .occlusion import occlusion

METHODS = {
    "integrated_gradients": integrated_gradients,
    "gradient_x_input": gradient_x_input,
    "occlusion": occlusion,
}
RED = (231, 224, 217, 210, 203, 196)  # colours of a terminal with 256 colours, from white to red
BLUE = (231, 195, 153, 111, 69, 27)
BLACK, WHITE = 16, 231
SHOWN = 10  # the number of tokens in the list under the coloured text


@dataclass
class PromptExplanation:
    """The contributions of the tokens of a prompt to the score of the next token.

    Attributes
    ----------
    method : str
    tokens : list of T str
        The tokens of the prompt, as parts of its text.
    attributions : array, shape (T,)
    target : str
        The next token that is explained.
    probability : float
        The probability of `target`.
    likely : list of (str, float)
        The most likely next tokens with their probabilities.

    Examples
    --------
    >>> explanation = PromptExplanation("occlusion", ["a", "b"], np.array([0.5, -1.0]), "c", 0.9, [("c", 0.9)])
    >>> print(explanation.text())
    next token: 'c' (0.90)
    explained: the score of 'c', by occlusion
       +0.500  'a'
       -1.000  'b'
    """

    method: str
    tokens: list[str]
    attributions: np.ndarray
    target: str
    probability: float
    likely: list[tuple[str, float]]

    def text(self, colour: bool = False) -> str:
        """Return the explanation as lines of text.

        Parameters
        ----------
        colour : bool
            False: one line for each token. True: the prompt with a colour behind each token, for a terminal with 256
            colours, and one line for each of the tokens with the largest contributions.
        """
        likely = ", ".join(f"{token!r} ({p:.2f})" for token, p in self.likely)
        lines = [f"next token: {likely}"]
        others = "" if self.target in dict(self.likely) else f", with the probability {self.probability:.2g}"
        lines.append(f"explained: the score of {self.target!r}{others}, by {self.method.replace('_', ' ')}")
        order = range(len(self.tokens))
        if colour:
            limit = float(np.abs(self.attributions).max()) or 1.0
            values = self.attributions / limit
            lines += ["", "".join(painted(token, v) for token, v in zip(self.tokens, values, strict=True)), ""]
            lines.append("red raises the score, blue lowers it; the largest contributions:")
            order = np.argsort(-np.abs(self.attributions), kind="stable")[:SHOWN]
        lines += [f"{self.attributions[t]:+9.3f}  {self.tokens[t]!r}" for t in order]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def explain_prompt(
    model: Module, tokenizer: Any, prompt: str, next_token: str | None = None, method: str = "integrated_gradients"
) -> PromptExplanation:
    """Return how much each token of a prompt contributes to the score of the next token.

    Parameters
    ----------
    model : Module
        A language model that returns logits of shape (N, T, V).
    tokenizer : CharTokenizer, WordTokenizer, SplitTokenizer or BPETokenizer
    prompt : str
    next_token : str, optional
        The token that is explained. The default is the most likely one.
    method : {"integrated_gradients", "gradient_x_input", "occlusion"}

    Returns
    -------
    PromptExplanation
        Print it, or print its ``text(colour=True)`` in a terminal.

    Raises
    ------
    ValueError
        The prompt is empty or too long for the model, or `next_token` is not one token.

    Examples
    --------
    >>> import nnscratch as nn
    >>> tokenizer = nn.data.CharTokenizer.from_text("abc")
    >>> model = nn.models.LanguageModel(len(tokenizer), 4, 8, rng=0)
    >>> found = nn.explain.explain_prompt(model, tokenizer, "abc", next_token="b")
    >>> found.tokens, found.attributions.shape, found.target
    (['a', 'b', 'c'], (3,), 'b')
    """
    check_instance("explain_prompt", "model", model, Module)
    check_tokenizer("explain_prompt", tokenizer)
    method = one_of("method", method, METHODS)
    ids = np.asarray(tokenizer.encode(prompt))
    if not len(ids):
        raise ValueError("the prompt is empty; the model needs at least one token")
    if isinstance(model, TransformerLM) and len(ids) > model.context:
        raise ValueError(f"the prompt has {len(ids)} tokens, and the model reads at most {model.context} of them")
    (x,) = to_device_of(model, ids[None])  # (1, T)
    p = next_probabilities(model, x, len(tokenizer))
    target = int(p.argmax()) if next_token is None else single_id(tokenizer, next_token)
    a = backend.to_numpy(METHODS[method](model, x, target))[0]
    likely = [(tokenizer.decode([i]), float(p[i])) for i in np.argsort(-p, kind="stable")[:5].tolist()]
    return PromptExplanation(method, pieces(tokenizer, ids), a, tokenizer.decode([target]), float(p[target]), likely)


def next_probabilities(model: Module, x: Any, vocabulary: int) -> np.ndarray:
    """Return the probabilities of the next token, shape (V,), for tokens of shape (1, T)."""
    with eval_mode(model):
        y = model(x)
    logits = backend.to_numpy((y[0] if isinstance(y, tuple) else y)[0, -1, :vocabulary]).astype(np.float64)
    e = np.exp(logits - logits.max())
    return e / e.sum()


def single_id(tokenizer: Any, token: str) -> int:
    """Return the id of `token`, or raise if this text is not exactly one token."""
    if token in tokenizer.vocabulary:
        return tokenizer.id(token)
    ids = tokenizer.encode(token)
    if len(ids) != 1:
        raise ValueError(f"the next token must be one token of the model, but {token!r} is {len(ids)} tokens")
    return int(ids[0])


def pieces(tokenizer: Any, ids: np.ndarray) -> list[str]:
    """Return the part of the text that each token adds. For a word, this includes the space before it."""
    texts = [tokenizer.decode(ids[:t]) for t in range(len(ids) + 1)]
    return [after[len(before) :] for before, after in zip(texts, texts[1:], strict=False)]


def painted(token: str, value: float) -> str:
    """Return the token with a background colour for a value from -1 to 1."""
    ramp = RED if value > 0 else BLUE
    level = round(abs(value) * (len(ramp) - 1))
    ink = WHITE if level == len(ramp) - 1 else BLACK
    start, end = f"\x1b[38;5;{ink};48;5;{ramp[level]}m", "\x1b[0m"
    return "\n".join(f"{start}{part}{end}" if part else "" for part in token.replace("\n", "\u21b5\n").split("\n"))

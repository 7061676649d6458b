"""The logit lens: which next token would the model predict if it stopped after an earlier block?

    shapes      tokens (N, T)       h_l (N, T, D)       W (V, D)        logits (L + 1, N, T, V)

    h_0      = the vectors that enter the first block
    h_l      = block_l(h_(l-1)) = h_(l-1) + the two branches of block l            l = 1..L
    logits_l = norm(h_l) W^T                           the last norm and the last Linear layer of the model

The residual connections make this possible: every block adds to the same vector, so the last layer can read the vector
after any block. logits_L are the logits of the model. The logits of earlier blocks show at which depth a prediction
appears.

Reference: nostalgebraist (2020), "Interpreting GPT: the logit lens",
https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_instance
from ..models import TransformerLM
from ..modes import eval_mode
from ..record import record


def logit_lens(model: TransformerLM, tokens: Array) -> Array:
    """Return the logits that the last layer computes from the vectors after each block.

    Parameters
    ----------
    model : TransformerLM
        It computes as in ``eval()`` mode.
    tokens : array of integers, shape (N, T)
        T is at most the model's `context`.

    Returns
    -------
    array, shape (L + 1, N, T, V)
        Element 0 belongs to the input of the first block, and element l to the output of block l.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.TransformerLM(10, embed_size=8, num_heads=2, num_layers=3, context=16, rng=0).eval()
    >>> tokens = np.array([[1, 2, 3]])
    >>> logits = nn.explain.logit_lens(model, tokens)
    >>> logits.shape, bool(np.allclose(logits[-1], model(tokens)[0], atol=1e-6))
    ((4, 1, 3, 10), True)
    """
    check_instance("logit_lens", "model", model, TransformerLM)
    if getattr(tokens, "ndim", 0) == 2 and tokens.shape[1] > model.context:
        raise ValueError(
            f"logit_lens needs at most context={model.context} tokens in a sequence, got {tokens.shape[1]}"
        )
    with eval_mode(model), record(model) as seen:
        model(tokens)
        blocks = [seen_of for seen_of in seen.values() if seen_of.module in model.blocks.layers]
        h = [blocks[0].inputs[0][0], *(block.output for block in blocks)]  # each (N, T, D)
    with eval_mode(model):
        return backend.array_module(h[0]).stack([model.linear(model.norm(h_l)) for h_l in h])

"""The files of a byte-level BPE tokenizer in the formats of Hugging Face: tokenizer.json, or vocab.json and merges.txt.

    tokenizer.json  everything: the vocabulary, the merges, the special tokens and how a text is split
    vocab.json      {token: id}
    merges.txt      one merge a line, in the order of their ranks: two tokens with a space between them

These files write each byte as one visible character: see :data:`SYMBOLS`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Parts = tuple[list[str], list[tuple[str, str]], list[str]]  # vocabulary, merges, special tokens

VERSION = "#version: 0.2"  # the first line of merges.txt


def _symbols() -> tuple[str, ...]:
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in visible else next(others)) for byte in range(256))


SYMBOLS = _symbols()
"""The character that represents each byte. The byte of a visible Latin-1 character is written as this character. The
other bytes are written as the characters from U+0100 on: a space is ``Ġ`` and a line break is ``Ċ``."""


def to_json(vocabulary: Sequence[str], merges: Sequence[tuple[str, str]], special_tokens: Sequence[str]) -> dict:
    """Return the content of tokenizer.json."""
    ids = {token: number for number, token in enumerate(vocabulary)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
    model |= {"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[token], "content": token} | flags for token in special_tokens],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": model | {"vocab": ids, "merges": [" ".join(pair) for pair in merges]},
    }


def from_json(content: Any) -> Parts:
    """Return the vocabulary, the merges and the special tokens in the content of tokenizer.json.

    The entries "truncation" and "padding" are ignored, as in ``transformers``. They describe how a program cut and
    padded the texts of a batch.

    Raises
    ------
    ValueError
        The content is damaged, or describes a tokenizer that is not GPT-2's kind of BPE.
    """
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise ValueError('there is no "model" entry; it must contain the vocabulary and the list of merges')
    if model.get("type", "BPE") != "BPE":
        raise ValueError(f"the model must be BPE, got {model['type']!r}")
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout", "ignore_merges"):
        if model.get(name):
            raise ValueError(f"{name} must be off, got {model[name]!r}: GPT-2's BPE does not have it")
    if content.get("normalizer") is not None:
        raise ValueError("the tokenizer changes the text with a normalizer: GPT-2's BPE does not have one")
    before = content.get("pre_tokenizer")
    if not isinstance(before, dict) or before.get("type") != "ByteLevel" or not before.get("use_regex", True):
        raise ValueError("the pre_tokenizer must be ByteLevel with use_regex true, as for GPT-2")
    if before.get("add_prefix_space", True):
        raise ValueError("add_prefix_space must be false, as for GPT-2")
    after = content.get("post_processor")
    if after is not None and (not isinstance(after, dict) or after.get("type") != "ByteLevel"):
        raise ValueError("the post_processor adds tokens to each text: GPT-2's BPE does not have one")

    ids = _checked_ids(model.get("vocab"), "vocab")
    added = content.get("added_tokens") or []
    if not isinstance(added, list) or not all(
        isinstance(token, dict) and isinstance(token.get("content"), str) and type(token.get("id")) is int
        for token in added
    ):
        raise ValueError('added_tokens must be a list of objects with "id" and "content"')
    for token in added:
        for flag in ("lstrip", "rstrip", "single_word"):
            if token.get(flag):
                raise ValueError(f"the special token {token['content']!r} has {flag}, which is not supported")
        number = token["id"]
        if ids.setdefault(token["content"], number) != number:
            raise ValueError(f"the token {token['content']!r} has two ids, {ids[token['content']]} and {number}")
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise ValueError("merges must be a list")
    return (
        _in_order(ids),
        [_pair(merge, f"merge {number}") for number, merge in enumerate(merges)],
        [token["content"] for token in added],
    )


def read_tokenizer_json(path: Path) -> Parts:
    """Return the vocabulary, the merges and the special tokens in tokenizer.json."""
    return from_json(_read_json(path))


def read_vocab_and_merges(vocab_path: Path, merges_path: Path) -> Parts:
    """Return the vocabulary, the merges and the special tokens in vocab.json and merges.txt.

    The files do not say which tokens are special. A token such as ``<|endoftext|>`` is neither a byte nor the result of
    a merge. So it must be a special token.
    """
    vocabulary = _in_order(_checked_ids(_read_json(vocab_path), "vocab.json"))
    merges = []
    for number, line in enumerate(merges_path.read_text(encoding="utf-8").split("\n"), 1):
        line = line.removesuffix("\r")
        if line and not line.startswith("#version"):
            merges.append(_pair(line, f"line {number} of {merges_path.name}"))
    made = {*SYMBOLS, *(left + right for left, right in merges)}
    return vocabulary, merges, [token for token in vocabulary if token not in made]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("the file is nested too deeply") from None


def _checked_ids(ids: Any, name: str) -> dict[str, int]:
    if not isinstance(ids, dict) or not all(type(number) is int for number in ids.values()):
        raise ValueError(f"{name} must map each token to its id")
    return dict(ids)


def _in_order(ids: dict[str, Any]) -> list[str]:
    """Return the tokens in the order of their ids."""
    tokens = {number: token for token, number in ids.items()}
    missing = [number for number in range(len(ids)) if number not in tokens]
    if missing:
        raise ValueError(f"the ids of {len(ids)} tokens must be 0..{len(ids) - 1}, each once; there is no {missing[0]}")
    return [tokens[number] for number in range(len(ids))]


def _pair(merge: Any, where: str) -> tuple[str, str]:
    pair = merge.split(" ") if isinstance(merge, str) else merge
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) and part for part in pair):
        raise ValueError(f"{where} must be two tokens with a space between them, got {merge!r}")
    return pair[0], pair[1]

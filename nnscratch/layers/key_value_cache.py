"""KeyValueCache: the keys and values of the tokens that a causal attention has read so far.

    shapes      k, v (N, heads, S, d): S tokens so far      k_new, v_new (N, heads, T, d): the next T tokens

    extended    k <- [k; k_new]     v <- [v; v_new]         along the tokens: S becomes S + T

The outputs of causal attention at tokens 0..S-1 do not depend on later tokens. So the keys and values of these tokens
in the next layer do not depend on later tokens either, and the model never has to compute them again. For T new tokens,
the model computes T queries, keys and values. Each query attends to all S + T keys.

The *room* of a cache is a pair of arrays for more than S tokens. k and v are views of its first S tokens. New tokens
are written after them, and no other token is copied. If the room is full, all tokens are copied to a room of twice the
size.

A cache never changes: `extended` returns a new cache, and both caches use the same room. You may extend one cache
twice, to try two continuations of a text. In the same room, the second continuation would overwrite the first, so it
gets its own room.
"""

from __future__ import annotations

from typing import Any

from .. import backend
from ..backend import Array


class KeyValueCache(tuple):
    """A pair ``(k, v)`` of arrays of shape (N, heads, S, d). Their memory can have room for more tokens.

    `extended` writes new tokens into this room. It copies the old tokens only if the room is too small, or if another
    cache has already written there.

    Parameters
    ----------
    k, v : array, shape (N, heads, S, d)

    Examples
    --------
    >>> import numpy as np
    >>> cache = KeyValueCache.empty((1, 2, 100, 4), like=np.zeros(1))   # room for 100 tokens
    >>> longer = cache.extended(np.ones((1, 2, 3, 4)), np.ones((1, 2, 3, 4)))
    >>> k, v = longer
    >>> k.shape, cache[0].shape
    ((1, 2, 3, 4), (1, 2, 0, 4))
    """

    def __new__(cls, k: Array, v: Array) -> KeyValueCache:
        return cls._in_room((k, v), [k.shape[2]], k.shape[2])

    @classmethod
    def empty(cls, shape: tuple[int, int, int, int], like: Array) -> KeyValueCache:
        """Return a cache without tokens, and with room for the number of tokens in `shape`: (N, heads, room, d)."""
        xp = backend.array_module(like)
        return cls._in_room((xp.empty(shape, dtype=like.dtype), xp.empty(shape, dtype=like.dtype)), [0], 0)

    @classmethod
    def _in_room(cls, room: tuple[Array, Array], used: list[int], size: int) -> KeyValueCache:
        """Return the cache of the first `size` tokens in `room`. All caches in a room have the same list `used`."""
        cache = super().__new__(cls, (array[:, :, :size] for array in room))
        # `used` is a list with one item, the number of tokens that the arrays in `room` contain so far.
        cache._room, cache._used = room, used
        return cache

    def extended(self, k: Array, v: Array) -> KeyValueCache:
        """Return a cache with T more tokens, whose keys and values have the shape (N, heads, T, d)."""
        size, total, room, used = self[0].shape[2], self[0].shape[2] + k.shape[2], self._room, self._used
        if used[0] != size or total > room[0].shape[2]:  # another cache has written here, or the room is too small
            room, used = self._moved(max(total, 2 * size, room[0].shape[2])), [size]
        for array, new in zip(room, (k, v), strict=True):
            array[:, :, size:total] = new
        used[0] = total
        return self._in_room(room, used, total)

    def repeated(self, count: int) -> KeyValueCache:
        """Return a cache with `count` copies of each sequence, in new memory with room for as many tokens as before."""
        xp, (N, heads, room, d), size = backend.array_module(self[0]), self._room[0].shape, self[0].shape[2]
        copies = tuple(xp.empty((N * count, heads, room, d), dtype=array.dtype) for array in self)
        for array, old in zip(copies, self, strict=True):
            array[:, :, :size] = xp.repeat(old, count, axis=0)
        return self._in_room(copies, [size], size)

    def _moved(self, tokens: int) -> tuple[Any, ...]:
        """Return copies of k and v in a new room for this number of tokens."""
        xp, (N, heads, size, d) = backend.array_module(self[0]), self[0].shape
        room = tuple(xp.empty((N, heads, tokens, d), dtype=array.dtype) for array in self)
        for array, old in zip(room, self, strict=True):
            array[:, :, :size] = old
        return room

r"""Byte-pair encoding: learn merges from the words of a text, and apply them to a word.

A word is a sequence of symbols. At first, each symbol is one byte.

Learning. Let f(w) be the number of times that word w is in the text. The count of a pair of symbols is ::

    count(a, b) = sum over w of f(w) * (number of places in w where b comes right after a)

Repeat until the vocabulary is large enough or no pair is left:

1. Take the pair with the largest count, (a, b) = argmax count. If counts are equal, take the pair with the smallest
   ids.
2. Add the symbol ab to the vocabulary.
3. In each word, from left to right, replace every a b by ab.

Step 3 changes few counts. If h a b k becomes h ab k, ::

    count(h, a)  -= f(w)     count(h, ab) += f(w)
    count(b, k)  -= f(w)     count(ab, k) += f(w)

So the counts are computed once and then updated. An index says at which positions each pair is, so that step 3 reads
only these positions. A heap of (-count, pair) gives the largest count in step 1.

Applying. The rank of a merge is its position in the list of merges. To encode a word, merge the pair with the lowest
rank, the leftmost first, and repeat until no pair of neighbours has a rank.

References: Gage (1994), "A new algorithm for data compression", The C Users Journal 12(2),
https://www.drdobbs.com/a-new-algorithm-for-data-compression/184402829. Sennrich, Haddow and Birch (2016), "Neural
machine translation of rare words with subword units", arXiv:1508.07909.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

Pair = tuple[int, int]
NONE = -1  # a position without a symbol: between two words, or after a merge into the left neighbour


def learn_merges(frequencies: Mapping[str, int], symbols: list[str], vocab_size: int) -> list[tuple[str, str]]:
    """Learn merges, and append each new symbol to `symbols`.

    Parameters
    ----------
    frequencies : dict of str to int
        How often each word is in the text. Each character of a word is one of `symbols`.
    symbols : list of str
        The vocabulary before the first merge. It grows until it has `vocab_size` symbols or no pair is left.
    vocab_size : int

    Returns
    -------
    list of (str, str)
        The merges in the order in which they were learned.

    Examples
    --------
    >>> symbols = ["b", "g", "h", "n", "p", "s", "u"]
    >>> learn_merges({"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}, symbols, 10)
    [('u', 'g'), ('u', 'n'), ('h', 'ug')]
    >>> symbols[7:]
    ['ug', 'un', 'hug']
    """
    ids = {symbol: number for number, symbol in enumerate(symbols)}
    # `at` has the symbols of all words, with NONE between words. left and right are the positions of the neighbours.
    at, weight = [NONE], [0]
    for word, frequency in frequencies.items():
        at += [*(ids[character] for character in word), NONE]
        weight += [frequency] * (len(word) + 1)
    left, right = list(range(-1, len(at) - 1)), list(range(1, len(at) + 1))
    count: defaultdict[Pair, int] = defaultdict(int)
    positions: defaultdict[Pair, list[int]] = defaultdict(list)  # for each pair, the positions of its left symbols
    for i, pair in enumerate(pairwise(at)):
        if NONE not in pair:
            count[pair] += weight[i]
            positions[pair].append(i)
    queue = [(-n, pair) for pair, n in count.items()]
    heapify(queue)

    merges = []
    while len(symbols) < vocab_size and queue:
        negative, pair = heappop(queue)
        if -negative != count[pair]:  # the count has decreased since this entry was pushed
            if count[pair] > 0:
                heappush(queue, (-count[pair], pair))
            continue
        a, b = pair
        merges.append((symbols[a], symbols[b]))
        merged = symbols[a] + symbols[b]
        if merged not in ids:  # a special token may have this name already
            ids[merged] = len(symbols)
            symbols.append(merged)
        ab = ids[merged]
        new_pairs = set()
        for i in positions.pop(pair):
            j = right[i]
            if at[i] != a or at[j] != b:  # another merge has used one of the two symbols
                continue
            h, k = left[i], right[j]
            at[i], at[j] = ab, NONE
            right[i], left[k] = k, i
            if at[h] != NONE:
                count[at[h], a] -= weight[i]
                count[at[h], ab] += weight[i]
                positions[at[h], ab].append(h)
                new_pairs.add((at[h], ab))
            if at[k] != NONE:
                count[b, at[k]] -= weight[i]
                count[ab, at[k]] += weight[i]
                positions[ab, at[k]].append(i)
                new_pairs.add((ab, at[k]))
        count[pair] = 0
        for new in new_pairs:
            if count[new] > 0:
                heappush(queue, (-count[new], new))
    return merges


def apply_merges(word: list[int], merges: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Return the ids of a word after all merges.

    With a heap of (rank, position), the time for n symbols is proportional to n log n, so long words are not slow.

    Parameters
    ----------
    word : list of int
        The ids of the bytes.
    merges : dict of (int, int) to (int, int)
        For each pair of ids, its rank and the id of the merged symbol.

    Examples
    --------
    >>> apply_merges([7, 4, 5, 4, 5], {(4, 5): (0, 8), (7, 8): (1, 9)})
    [9, 8]
    """
    at, n = [*word, NONE], len(word)  # at[-1], the left neighbour of the first symbol, is NONE too
    left, right = list(range(-1, n)), list(range(1, n + 2))
    queue = [(merges[pair][0], i) for i, pair in enumerate(pairwise(word)) if pair in merges]
    heapify(queue)
    while queue:
        rank, i = heappop(queue)
        j = right[i]
        found = merges.get((at[i], at[j]))
        if found is None or found[0] != rank:  # another merge has used one of the two symbols
            continue
        h, k = left[i], right[j]
        at[i], at[j] = found[1], NONE
        right[i], left[k] = k, i
        for position, pair in ((h, (at[h], at[i])), (i, (at[i], at[k]))):
            if pair in merges:
                heappush(queue, (merges[pair][0], position))
    return [symbol for symbol in at if symbol != NONE]

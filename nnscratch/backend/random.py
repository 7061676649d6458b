"""Random numbers: one seed gives the same numbers on every device.

The state of PCG64, NumPy's default generator, is a number of 128 bits. Every draw updates it,

    state = state * MULTIPLIER + increment          modulo 2^128

and returns 64 bits, a mix of the two halves of the state. You can jump to any position in this sequence: k updates
together have the same form as one update, with another multiplier and another increment. Computing these two numbers
takes log2(k) steps. So each thread of a GPU jumps to its own position and draws from there. Together, the threads draw
the numbers that NumPy would draw one by one.

Reference: O'Neill (2014), "PCG: a family of simple fast space-efficient statistically good algorithms for random number
generation", https://www.pcg-random.org/paper.html; jumping ahead: Brown (1994), "Random number generation with
arbitrary strides", https://mcnp.lanl.gov/pdf_files/anl-rn-arb-stride.pdf.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import ModuleType

import numpy as np

from .device import Array, array_module, device_of, to_device


def generator(rng: None | int | np.random.Generator) -> np.random.Generator:
    """Return a NumPy random generator, also for a GPU. So a seed gives the same numbers on every device.

    Parameters
    ----------
    rng : None, int or numpy.random.Generator
        None for a new generator with a random seed, an int for a new generator with that seed. A generator is returned
        unchanged.

    Raises
    ------
    TypeError
        `rng` is something else.
    """
    if rng is None or isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(rng)
    if isinstance(rng, np.random.Generator):
        return rng
    raise TypeError(f"rng must be None, an int of 0 or more, or a numpy.random.Generator, got {rng!r}")


def uniform_like(rng: np.random.Generator, shape: tuple[int, ...], like: Array) -> Array:
    """Return ``rng.random(shape, dtype=numpy.float32)``, numbers in [0, 1), on the device of `like`.

    For an array on a GPU, the GPU draws the same numbers, and `rng` is advanced as if it had drawn them. If the
    generator is not a PCG64, the numbers are drawn on the CPU and copied to the GPU.

    Examples
    --------
    >>> import numpy as np
    >>> print(uniform_like(np.random.default_rng(0), (2,), np.zeros(1)))
    [0.8506242  0.63696164]
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {rng!r}")
    if isinstance(like, np.ndarray) or type(rng.bit_generator) is not np.random.PCG64:
        return to_device(rng.random(shape, dtype=np.float32), device_of(like))
    xp, count = array_module(like), math.prod(shape)
    out, bits = xp.empty(shape, dtype=np.float32), rng.bit_generator
    if count == 0:
        return out
    before = bits.state
    kept = before["has_uint32"]  # 1 if half of the last draw's 64 bits is unused, since a draw makes two numbers
    draws = (count - kept + 1) // 2
    words = [np.uint64(part) for name in ("state", "inc") for part in divmod(before["state"][name], 1 << 64)]
    draw(xp)(*words, np.uint32(before["uinteger"]), kept, count, draws, out, size=max(1, -(-draws // PER_THREAD)))
    if draws:
        bits.advance(draws)
        before = bits.state | {"uinteger": mixed(bits.state["state"]["state"]) >> 32}
    bits.state = before | {"has_uint32": (count - kept) % 2}
    return out


def mixed(state: int) -> int:
    """Return the 64 bits of output for a state: the XOR of its halves, rotated right by its top 6 bits."""
    x, turn = (state >> 64 ^ state) & LOW, state >> 122
    return (x >> turn | x << 64 - turn) & LOW


LOW = (1 << 64) - 1
MULTIPLIER = 0x2360ED051FC65DA4_4385DF649FCCF645  # the constant of PCG64
PER_THREAD = 32  # the number of draws for each thread


@functools.cache
def draw(xp: ModuleType) -> Callable:
    """Return the kernel of `uniform_like`. A thread makes `PER_THREAD` draws, and two numbers from each draw."""
    return xp.ElementwiseKernel(
        "uint64 state_high, uint64 state_low, uint64 inc_high, uint64 inc_low, uint32 left, int64 kept, int64 count, "
        "int64 draws",
        "raw float32 out",
        f"""
        typedef unsigned __int128 wide;
        const wide inc = (wide)inc_high << 64 | inc_low;
        const wide multiplier = (wide){MULTIPLIER >> 64:#x}ull << 64 | {MULTIPLIER & LOW:#x}ull;
        const long long first = i * {PER_THREAD};
        const long long end = first + {PER_THREAD} < draws ? first + {PER_THREAD} : draws;

        wide state = (wide)state_high << 64 | state_low, times = multiplier, plus = inc;
        for (long long k = first; k; k >>= 1) {{  // jump over the draws of the threads before this one
            if (k & 1) state = state * times + plus;
            plus *= times + 1;
            times *= times;
        }}
        if (i == 0 && kept) out[0] = (left >> 8) * (1.0f / 16777216.0f);
        for (long long k = first; k < end; ++k) {{
            state = state * multiplier + inc;
            const unsigned long long x = (unsigned long long)(state >> 64) ^ (unsigned long long)state;
            const int turn = (int)(state >> 122);
            const unsigned long long bits = x >> turn | x << (-turn & 63);
            const long long at = 2 * k + kept;
            out[at] = ((unsigned int)bits >> 8) * (1.0f / 16777216.0f);
            if (at + 1 < count) out[at + 1] = ((unsigned int)(bits >> 32) >> 8) * (1.0f / 16777216.0f);
        }}
        """,
        "pcg64_uniform",
        options=("--device-int128",),
    )

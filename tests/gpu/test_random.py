"""A GPU draws the same numbers as NumPy, bit for bit, and leaves the generator in the same state."""

import numpy as np
import pytest
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch import backend
from nnscratch.backend.random import PER_THREAD


def drawn(rngs, shapes, like, on_cpu=backend.to_numpy):
    """Draw each shape with both generators, the second on the GPU; both must agree in values and state."""
    here, there = rngs
    for shape in shapes:
        expected, found = here.random(shape, dtype=np.float32), backend.uniform_like(there, shape, like)
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_array_equal(on_cpu(found), expected)
        assert str(there.bit_generator.state) == str(here.bit_generator.state)


@pytest.mark.parametrize(
    "shapes", [[(1,)] * 5, [(2,), (3,), (0,), (4, 5), (1,), (7, 1, 3)], [(2 * PER_THREAD,), (50_001,)]]
)
def test_numbers_are_numpys_one_call_after_the_other(shapes, on_cuda):
    drawn([np.random.default_rng(3) for _ in range(2)], shapes, on_cuda(np.zeros(1)))


@given(st.integers(0, 2**32), st.lists(st.integers(0, 3 * PER_THREAD), max_size=5), st.integers(0, 2**40))
def test_numbers_are_numpys_from_any_seed_and_any_place(seed, counts, start):
    with strict_cupy.installed() as cp:
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        for rng in rngs:
            rng.bit_generator.advance(start)
            rng.integers(0, 5, size=seed % 3)  # 32 bits each, so some leave half of a 64-bit draw
        drawn(rngs, [(count,) for count in counts], cp.zeros(1))


def test_another_generator_draws_on_the_cpu(on_cuda):
    like = on_cuda(np.zeros(1))
    drawn([np.random.Generator(np.random.Philox(5)) for _ in range(2)], [(3,), (40,)], like)


def test_dropout_drops_the_same_on_both_devices(on_cuda, on_cpu):
    for layer in (nn.Dropout(0.3, rng=1), nn.VariationalDropout(0.3, rng=1)):
        x = np.ones((7, 5, 11))
        twin = type(layer)(0.3, rng=1)
        for _ in range(3):
            np.testing.assert_array_equal(on_cpu(twin(on_cuda(x))), layer(x))


def test_drawing_copies_nothing_and_waits_for_nothing():
    with strict_cupy.installed() as cp, strict_cupy.counted() as counts:
        backend.uniform_like(np.random.default_rng(0), (100, 100), cp.zeros(1))
    assert (counts.copies, counts.waits, counts.launches) == (0, 0, 2)  # one launch creates the zeros

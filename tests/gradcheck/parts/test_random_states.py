"""Test whether code has drawn random numbers, and that it draws the same numbers again."""

import random

import numpy as np
import pytest

from nnscratch.gradcheck.random_states import RandomStates, equal_states

GENERATOR, OLD, PHILOX = np.random.default_rng(0), np.random.RandomState(0), np.random.Generator(np.random.Philox(0))
DRAWS = {
    "Generator": GENERATOR.random, "half of a draw": lambda: GENERATOR.integers(5, dtype=np.int32),
    "RandomState": OLD.rand, "Philox": PHILOX.random,
    "numpy.random": np.random.rand, "numpy.random.randn": np.random.randn,  # noqa: NPY002
    "random": random.random, "random.gauss": lambda: random.gauss(0, 1),
}  # fmt: skip


@pytest.fixture(autouse=True)
def global_generators():
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    np.random.set_state(states[0])  # noqa: NPY002
    random.setstate(states[1])


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("before, count", [(0, 1), (0, 3), (1, 1), (623, 1), (0, 312), (0, 624), (5, 1248)])
def test_a_draw_is_noticed_and_repeated(name, before, count):
    draw = DRAWS[name]
    for _ in range(before):
        draw()
    states = RandomStates([GENERATOR, OLD, PHILOX])
    assert not states.advanced()
    drawn = [draw() for _ in range(count)]
    assert states.advanced()
    states.replay()
    assert not states.advanced() and [draw() for _ in range(count)] == drawn


def test_only_the_given_generators_are_replayed():
    states, other = RandomStates([GENERATOR]), np.random.default_rng(0)
    first = other.random()
    assert not states.advanced()
    states.replay()
    assert other.random() != first


def test_a_seed_is_a_change():
    for seed in (np.random.seed, random.seed):
        states = RandomStates([])
        seed(12345)
        assert states.advanced()
        states.replay()
        assert not states.advanced()


def test_equal_states():
    a = {"k": (1, "s", [np.arange(2)])}
    assert equal_states(a, {"k": (1, "s", [np.arange(2)])})
    for b in ({}, {"j": a["k"]}, {"k": (1, "s")}, {"k": (2, "s", [np.arange(2)])}, {"k": (1, "t", [np.arange(2)])},
              {"k": (1, "s", [np.arange(3)])}, {"k": (1, "s", [np.ones(2)])}):  # fmt: skip
        assert not equal_states(a, b)

"""Test the states of random generators, and the arrays that are put in the place of others."""

import random
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

from nnscratch.gradcheck.random_states import RandomStates, equal_states
from nnscratch.gradcheck.snapshot import Snapshot
from nnscratch.gradcheck.substitution import cast_arrays, substitute

# --- RandomStates ----------------------------------------------------------------------------------------------------

OWN = np.random.default_rng(0)
LEGACY = np.random.RandomState(0)  # noqa: NPY002

DRAWS = {
    "default_rng": OWN.random,
    "RandomState": LEGACY.random_sample,
    "numpy.random": np.random.random,  # noqa: NPY002
    "numpy.random: 624 words, a whole table": lambda: np.random.bytes(4 * 624),  # noqa: NPY002
    "random": random.random,
    "random: 624 words, a whole table": lambda: random.getrandbits(32 * 624),
}


@pytest.fixture(autouse=True)
def global_generators_restored():
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    np.random.set_state(before[0])  # noqa: NPY002
    random.setstate(before[1])


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_is_seen_and_replayed(name):
    states = RandomStates([OWN, LEGACY])
    assert not states.advanced()
    first = DRAWS[name]()
    assert states.advanced()
    states.replay()
    assert not states.advanced() and DRAWS[name]() == first


@pytest.mark.parametrize("draw", [np.random.standard_normal, lambda: random.gauss(0, 1)])  # noqa: NPY002
def test_the_second_normal_number_of_a_pair_is_a_draw(draw):
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    draw()
    states = RandomStates([])
    second = draw()  # it comes from a store, and the table of words stays the same
    assert states.advanced()
    states.replay()
    assert draw() == second


def test_a_generator_that_is_not_listed_is_not_replayed():
    states = RandomStates([LEGACY])
    first = OWN.random()
    assert not states.advanced()
    states.replay()
    assert OWN.random() != first


def test_equal_states():
    state = {"a": [1, (np.arange(2), "x")], "b": 2.0}
    assert equal_states(state, {"b": 2.0, "a": [1, (np.arange(2), "x")]})
    for other in ({"a": 1}, {"a": state["a"], "c": 2.0}, {**state, "b": 3.0}, {**state, "a": [1]},
                  {**state, "a": [1, (np.arange(2), "y")]}, {**state, "a": [1, (np.arange(1, 3), "x")]}):  # fmt: skip
        assert not equal_states(state, other)
    assert not equal_states((1, 2), (1, 2, 3)) and not equal_states(1, 2) and equal_states("a", "a")


# --- other arrays in the same places ---------------------------------------------------------------------------------


class WithSlots:
    __slots__ = ("w",)


def make_function(held):
    def function(x, scale=held):
        return x * held * scale

    return function


def test_an_array_is_replaced_in_all_containers():
    old, new, other = np.ones(2), np.zeros(2), np.ones(2)
    slots, ragged = WithSlots(), np.empty(2, dtype=object)
    slots.w, ragged[0], ragged[1] = old, old, other
    layer = SimpleNamespace(w=old, parts=[old, 1.0], last=deque([old], maxlen=3), named={"w": old, "n": 2},
                            pair=(old, ("a", old)), slots=slots, call=make_function(old), names={"a"},
                            other=other, kept=(1, (other,)), ragged=ragged)  # fmt: skip
    kept, names, before = layer.kept, layer.names, Snapshot(layer)
    substitute(before, {id(old): new})
    assert layer.w is new and layer.parts[0] is new and layer.parts[1] == 1 and layer.last[0] is new
    assert layer.last.maxlen == 3 and layer.named["w"] is new and layer.named["n"] == 2
    assert layer.pair[0] is new and layer.pair[1][0] == "a" and layer.pair[1][1] is new
    assert layer.slots.w is new and layer.call(np.ones(2)).tolist() == [0, 0] and layer.call.__defaults__[0] is new
    assert layer.ragged[0] is new and layer.ragged[1] is other
    assert layer.other is other and layer.kept is kept and layer.names is names
    before.restore()
    assert layer.w is layer.parts[0] is layer.pair[1][1] is slots.w is layer.call.__defaults__[0] is ragged[0] is old


def test_narrow_arrays_are_cast():
    single, half, counts, double = np.array([0.5], "f"), np.array([2.0], "e"), np.ones(1, "i2"), np.ones(1)
    layer = SimpleNamespace(single=single, half=half, counts=counts, double=double)
    before = Snapshot(layer)
    new = cast_arrays(before, np.float64)
    assert new.keys() == {id(single), id(half)} and new[id(single)] is layer.single
    assert layer.single.dtype == layer.half.dtype == np.float64 and layer.single == 0.5 and layer.half == 2
    assert layer.counts is counts and layer.double is double and single.dtype == np.float32
    before.restore()
    assert layer.single is single and layer.half is half
    assert cast_arrays(before, np.float32).keys() == {id(half)}


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_copies_of_arrays_that_share_memory_share_memory(dtype):
    flat = np.arange(12, dtype="f")
    layer = SimpleNamespace(flat=flat, w=flat[:6].reshape(2, 3), b=flat[6:][::-2], t=flat[:6].reshape(2, 3).T)
    before = Snapshot(layer)
    assert len(cast_arrays(before, dtype)) == 4 and flat.dtype == np.float32
    assert layer.flat.dtype == layer.w.dtype == layer.b.dtype == layer.t.dtype == dtype
    assert layer.w.tolist() == [[0, 1, 2], [3, 4, 5]] and layer.b.tolist() == [11, 9, 7]
    layer.w[1, 2], layer.b[0] = 50, 110
    assert layer.flat[5] == layer.t[2, 1] == 50 and layer.flat[11] == 110 and flat[5] == 5
    before.restore()
    assert layer.flat is flat and np.shares_memory(layer.w, flat)


def test_parts_of_one_array_are_cast_although_the_array_itself_is_in_no_object():
    layer = SimpleNamespace(w=(flat := np.ones((2, 3), "f", order="F"))[:1], b=flat[1:])
    cast_arrays(Snapshot(layer), np.float64)
    assert layer.w.base is layer.b.base is not None and layer.w.shape == layer.b.shape == (1, 3)


def test_memory_that_is_no_array_of_the_same_dtype_is_not_cast():
    memory, alone = np.zeros(24, np.uint8), np.ones(3, "f")
    flat = memory.view("f")
    layer = SimpleNamespace(w=flat[:4], b=flat[4:], alone=alone[1:])
    view = layer.alone
    assert cast_arrays(Snapshot(layer), np.float64).keys() == {id(view)} and layer.w.dtype == np.float32

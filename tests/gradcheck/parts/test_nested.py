"""Test which values are arrays and floats, and the functions of nested values."""

import sys
from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from nnscratch.gradcheck.nested import (
    array_module,
    attribute_of,
    float_leaves,
    has_attribute,
    has_no_axes,
    is_array,
    is_float,
    leaves,
    map_leaves,
    share_memory,
    to_numpy,
)

Pair = namedtuple("Pair", "a b")


class OfAnotherLibrary:
    """An array of a library with the functions of the array API."""

    def __array_namespace__(self): ...


class Fickle:
    """An object whose attributes raise any error."""

    none = None

    @property
    def bad(self):
        raise ZeroDivisionError

    def __getattr__(self, name):
        raise KeyError(name)


def test_which_values_are_arrays():
    for array in (np.ones(2), np.array(1), np.array(["a"]), np.ma.ones(2), np.ones((1, 2)).view(np.matrix),
                  OfAnotherLibrary()):  # fmt: skip
        assert is_array(array)
    for value in (1.0, 1, True, "a", (), [], {}, None, np.float64(1), np.float32(1), np.int64(1), Fickle(),
                  SimpleNamespace(__array_namespace__=1), Pair(1, 2)):  # fmt: skip
        assert not is_array(value)


def test_an_array_of_cupy_is_an_array(monkeypatch):
    array = SimpleNamespace()
    assert not is_array(array)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ndarray=SimpleNamespace))
    assert is_array(array) and not is_array(Fickle())


def test_an_attribute_that_raises_is_absent():
    for name in ("bad", "other"):
        assert attribute_of(Fickle(), name) is None and attribute_of(Fickle(), name, 5) == 5
        assert not has_attribute(Fickle(), name)
    assert attribute_of(Fickle(), "none", 5) is None and has_attribute(Fickle(), "none")


def test_a_matrix_becomes_a_plain_array():
    matrix = np.ones((1, 2)).view(np.matrix)
    plain = to_numpy(matrix)
    assert type(plain) is np.ndarray and np.may_share_memory(plain, matrix)
    array, masked = np.ones(2), np.ma.ones(2)
    assert to_numpy(array) is array and to_numpy(masked) is masked
    assert array_module(array) is array_module(masked) is array_module(matrix) is np


@pytest.mark.parametrize("value", [1.0, np.float32(1), np.float64(1), np.ones(2), np.ones((), "f"), np.ones(0, "e")])
def test_floats(value):
    assert is_float(value)


@pytest.mark.parametrize("value", [1, True, "a", None, 1j, np.int64(1), np.arange(2), np.array(1j), [1.0]])
def test_values_that_are_not_floats(value):
    assert not is_float(value) and not is_float(Fickle())


def test_values_without_axes():
    for value in (1.0, 1, np.float32(1), np.array(2.0)):
        assert has_no_axes(value)
    for value in (np.ones(1), np.ones((1, 1)), (), [], {}, (1.0,)):
        assert not has_no_axes(value)


def test_the_names_of_leaves():
    nest = (1.0, [2.0, {"c": 3.0, 4: ()}], OrderedDict(d=Pair(5.0, None)))
    assert list(leaves("s", nest)) == [
        ("s[0]", 1.0), ("s[1][0]", 2.0), ("s[1][1]['c']", 3.0), ("s[2]['d'][0]", 5.0), ("s[2]['d'][1]", None)
    ]  # fmt: skip
    assert list(leaves("x", "text")) == [("x", "text")]


def test_a_nest_keeps_its_form():
    doubled = map_leaves(lambda v: 2 * v, (1, [2, Pair(3, 4)], {"k": 5}))
    assert doubled == (2, [4, Pair(6, 8)], {"k": 10})
    assert [type(part) for part in (doubled, doubled[1], doubled[1][1])] == [tuple, list, Pair]
    assert map_leaves(str, 1) == "1"


def test_the_floats_of_a_nest():
    array = np.ones(2)
    found = float_leaves((1.0, [array, 3, "a"], {"k": np.arange(2), "v": np.float32(2)}))
    assert found[0] == 1.0 and found[1] is array and found[2] == 2 and len(found) == 3


def test_arrays_that_share_memory():
    array, other = np.ones(4), OfAnotherLibrary()
    assert share_memory(array, array) and share_memory(array[:2], array[1:]) and share_memory(other, other)
    assert not share_memory(array[:2], array[2:]) and not share_memory(array, array.copy())
    assert not share_memory(array, other) and not share_memory(other, array)

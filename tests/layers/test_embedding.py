"""Embedding: a row of numbers for each token."""

import numpy as np
import pytest
from directions import assert_module_gradients
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnscratch as nn

ids = hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), elements=st.integers(0, 4))


@given(ids)
def test_every_id_becomes_its_row_of_the_table(ids):
    layer = nn.Embedding(5, 3, rng=0)
    y = layer(ids)
    assert y.shape == (*ids.shape, 3)
    for place in np.ndindex(ids.shape):
        np.testing.assert_array_equal(y[place], layer.weight.data[ids[place]])


@given(ids)
def test_it_is_linear_on_one_hot_vectors_in_its_gradient_too(ids):
    embedding = nn.Embedding(5, 3, rng=0).to(dtype=np.float64)
    linear = nn.Linear(5, 3, bias=False).to(dtype=np.float64)
    linear.weight.data[...] = embedding.weight.data.T
    one_hot = np.eye(5)[ids]
    np.testing.assert_array_equal(embedding(ids), linear(one_hot))
    dy = np.random.default_rng(0).normal(size=(*ids.shape, 3))
    assert embedding.backward(dy) is None
    linear.backward(dy)
    np.testing.assert_allclose(embedding.weight.grad, linear.weight.grad.T, rtol=1e-12, atol=1e-14)


@given(ids)
def test_the_gradient_matches_finite_differences(ids):
    assert_module_gradients(nn.Embedding(5, 3, rng=0).to(dtype=np.float64), ids)


def test_a_token_that_occurs_three_times_gets_the_sum_of_three_gradients():
    layer = nn.Embedding(4, 2, rng=0)
    layer(np.array([[1, 3, 1], [0, 0, 1]]))
    layer.backward(np.arange(12, dtype=np.float32).reshape(2, 3, 2))
    np.testing.assert_array_equal(layer.weight.grad, [[6 + 8, 7 + 9], [0 + 4 + 10, 1 + 5 + 11], [0, 0], [2, 3]])


def test_the_table_starts_standard_normal():
    table = nn.Embedding(1000, 50, rng=0).weight.data
    assert table.mean() == pytest.approx(0, abs=0.02) and table.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_ids_may_be_of_any_integer_type(dtype):
    assert nn.Embedding(4, 2)(np.array([0, 3], dtype)).shape == (2, 2)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.array([0, 4]), ValueError, r"Embedding: ids must be in 0\.\.3, got 0\.\.4"),
        (np.array([-1, 2]), ValueError, r"ids must be in 0\.\.3, got -1\.\.2"),
        (np.array([0.0, 1.0]), TypeError, "ids must be integers, got float64"),
        (np.array([True, False]), TypeError, "ids must be integers, got bool"),
        ([0, 1], TypeError, r"ids: expected a NumPy or CuPy array, got list; use numpy.asarray\(x\)"),
    ],
)
def test_ids_that_have_no_row_are_refused_and_nothing_is_kept(ids, error, message):
    layer = nn.Embedding(4, 2)
    with pytest.raises(error, match=message):
        layer(ids)
    with pytest.raises(RuntimeError, match="no saved forward call is left"):
        layer.backward(np.ones((2, 2), np.float32))


@pytest.mark.parametrize("name", ["num_embeddings", "embedding_dim"])
def test_sizes_are_integers_of_one_or_more(name):
    with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more, got 0"):
        nn.Embedding(**{"num_embeddings": 3, "embedding_dim": 2, name: 0})

"""Gradients of a few rows are stored separately, and all results equal those of the whole gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnscratch as nn

RNG = np.random.default_rng(0)
OPTIMIZERS = {
    "SGD": lambda p: nn.optim.SGD(p, lr=0.1),
    "SGD, momentum": lambda p: nn.optim.SGD(p, lr=0.1, momentum=0.9),
    "SGD, weight decay": lambda p: nn.optim.SGD(p, lr=0.1, weight_decay=0.1),
    "Adagrad": lambda p: nn.optim.Adagrad(p, lr=0.1),
    "Adagrad, weight decay": lambda p: nn.optim.Adagrad(p, lr=0.1, weight_decay=0.1),
    "RMSprop": lambda p: nn.optim.RMSprop(p),
    "Adam": lambda p: nn.optim.Adam(p),
    "AdamW": lambda p: nn.optim.AdamW(p),
}


def table(rows=50, width=3):
    parameter = nn.Parameter(np.random.default_rng(1).normal(size=(rows, width)))
    parameter.zero_grad()
    return parameter


@given(st.lists(st.integers(0, 49), max_size=24))
def test_a_few_rows_are_kept_by_themselves_and_are_the_gradient(index):
    parameter, index = table(), np.array(index, dtype=int)
    values = np.random.default_rng(2).normal(size=(len(index), 3))
    parameter.add_rows(index, values)
    rows, sums = parameter.nonzero_rows()
    assert list(rows) == sorted(set(index.tolist())) and sums.shape == (len(rows), 3)
    expected = np.zeros((50, 3))
    np.add.at(expected, index, values)
    np.testing.assert_allclose(sums, expected[rows], atol=1e-15)
    np.testing.assert_allclose(parameter.grad, expected, atol=1e-15)
    rows, whole = parameter.nonzero_rows()  # any row of the array that was read may have been written to
    assert rows is None and whole is parameter.grad


def test_what_is_added_afterwards_adds_to_them_whatever_it_is():
    parameter, (a, b) = table(3 * 50), RNG.normal(size=(2, 150, 2))
    values = RNG.normal(size=(2, 3))
    parameter.add_rows(np.array([7, 7]), values)
    parameter.add_product(a, b[:3].T)
    parameter.add_rows(np.array([7, 149]), values)
    expected = a @ b[:3].T
    expected[7] += 2 * values[0] + values[1]
    expected[149] += values[1]
    np.testing.assert_allclose(parameter.grad, expected, rtol=1e-13, atol=1e-14)


def test_zero_grad_forgets_them():
    parameter = table()
    parameter.add_rows(np.array([3]), np.ones((1, 3)))
    parameter.zero_grad()
    assert parameter.nonzero_rows()[0] is None and not parameter.grad.any()


def test_many_rows_of_a_small_table_are_the_whole_gradient_at_once():
    parameter = table(4)
    parameter.add_rows(np.array([1, 1]), np.ones((2, 3)))
    assert parameter.nonzero_rows()[0] is None
    np.testing.assert_array_equal(parameter.grad[:, 0], [0, 2, 0, 0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_does_with_rows_what_it_does_with_the_whole_gradient(name):
    by_rows, whole = table(), table()
    optimizers = [OPTIMIZERS[name]([p]) for p in (by_rows, whole)]
    for _ in range(3):
        index, values = RNG.integers(0, 50, 8), RNG.normal(size=(8, 3))
        for p, optimizer in zip((by_rows, whole), optimizers, strict=True):
            p.zero_grad()
            p.add_rows(index, values)
            if p is whole:
                assert p.grad.any()  # reading it gives the whole array
            optimizer.step()
    np.testing.assert_array_equal(by_rows.data, whole.data)
    for moment in optimizers[0].moments:
        np.testing.assert_array_equal(optimizers[0].state[moment][0], optimizers[1].state[moment][0])


def test_plain_descent_touches_only_the_rows_that_have_a_gradient_and_never_makes_the_whole_one():
    parameter = table()
    before = parameter.data.copy()
    optimizer = nn.optim.SGD([parameter], lr=1.0)
    parameter.add_rows(np.array([4, 9]), np.ones((2, 3)))
    optimizer.step()
    assert parameter.nonzero_rows()[0] is not None
    changed = (parameter.data != before).any(axis=1)
    assert list(np.flatnonzero(changed)) == [4, 9]


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_looks_at_the_rows_alone(max_norm):
    by_rows, whole = table(), table()
    for p in (by_rows, whole):
        p.add_rows(np.array([4, 9]), np.array([[1.0, 0, 0], [0, 2, 2]]))
    assert whole.grad.any()
    assert nn.optim.clip_grad_norm_([by_rows], max_norm) == nn.optim.clip_grad_norm_([whole], max_norm) == 3
    assert by_rows.nonzero_rows()[0] is not None
    np.testing.assert_array_equal(by_rows.grad, whole.grad)


def test_an_embedding_in_a_language_model_keeps_few_rows_and_a_tied_one_the_whole_gradient():
    tokens = RNG.integers(0, 100, (2, 5))
    for tied in (False, True):
        model = nn.models.LanguageModel(100, 4, 4, tie_weights=tied, rng=0)
        logits, _ = model(tokens)
        model.zero_grad()
        model(tokens)
        model.backward(np.ones_like(logits))
        assert (model.embedding.weight.nonzero_rows()[0] is None) == tied


def test_a_weight_without_gradient_rests_only_if_the_update_leaves_it_alone():
    w = [nn.Parameter(np.ones(1))]
    assert nn.optim.Adagrad(w).rests_at_zero and nn.optim.SGD(w, lr=1.0).rests_at_zero
    assert not nn.optim.Adagrad(w, eps=0.0).rests_at_zero  # 0 / 0
    assert not nn.optim.Adagrad(w, weight_decay=0.1).rests_at_zero
    assert not nn.optim.SGD(w, lr=1.0, weight_decay=0.1).rests_at_zero
    assert not nn.optim.SGD(w, lr=1.0, momentum=0.9).rests_at_zero

"""Sums of rows and columns: the same values on "cuda" as on the CPU, and as few launches as CuPy needs."""

import numpy as np
import pytest
import strict_cupy

from nnscratch.layers.fast_products import (
    LARGE,
    SMALL,
    TALL,
    channel_sums,
    column_sums,
    row_dots,
    row_means,
    row_sums,
)

FUNCTIONS = {"row_sums": row_sums, "row_means": row_means, "row_dots": lambda x: row_dots(x, x)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_number_for_each_row(name, dtype, rng, on_cuda, on_cpu):
    for shape in ((5,), (3, 5), (2, 3, 4, 5)):
        x = rng.normal(size=shape).astype(dtype)
        y = FUNCTIONS[name](x)
        there = on_cpu(FUNCTIONS[name](on_cuda(x)))
        assert y.shape == there.shape == (*shape[:-1], 1) and y.dtype == there.dtype == dtype
        np.testing.assert_allclose(there, y, rtol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("rows", [7, TALL, 2 * TALL + 1, 2003], ids="{} rows".format)  # 2003 is a prime number
@pytest.mark.parametrize("order", "CF")
def test_a_number_for_each_column(rows, order, rng, on_cuda, on_cpu):
    x = np.asarray(rng.normal(size=(rows, 5)), order=order)
    np.testing.assert_allclose(column_sums(x), x.sum(axis=0))
    np.testing.assert_allclose(on_cpu(column_sums(on_cuda(x))), x.sum(axis=0))


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize(
    ("elements", "is_product"), [(0, False), (SMALL - 1, False), (SMALL, True), (LARGE - 1, True), (LARGE, False)]
)
def test_on_a_cpu_the_columns_of_small_and_large_matrices_are_not_a_product(elements, is_product, order, monkeypatch):
    x, ones, made = np.full((elements, 1), 0.5, order=order), np.ones, []
    monkeypatch.setattr(np, "ones", lambda *args, **options: made.append(1) or ones(*args, **options))
    assert column_sums(x) == [elements / 2]
    assert bool(made) == is_product


@pytest.mark.parametrize("shape", [(7, 3), (TALL, 3), (7, 3, 5), (TALL, 3, 1, 2)], ids=str)
def test_a_number_for_each_channel(shape, rng, on_cuda, on_cpu):
    x = rng.normal(size=shape)
    expected = x.sum(axis=(0, *range(2, x.ndim)))
    np.testing.assert_allclose(channel_sums(x), expected)
    np.testing.assert_allclose(on_cpu(channel_sums(on_cuda(x))), expected)


@pytest.mark.parametrize(
    ("function", "launches"),
    [
        (row_sums, 1),
        (row_means, 2),
        (lambda x: row_dots(x, x), 2),
        (lambda x: column_sums(x[0]), 1),
        (channel_sums, 2),
    ],
)
def test_sums_on_cuda_take_no_tables_of_addresses(function, launches):
    with strict_cupy.installed() as cp:
        x = cp.ones((3, 4, 5))
        with strict_cupy.counted() as counts:
            function(x)
    assert (counts.launches, counts.copies, counts.waits) == (launches, 0, 0)


def test_a_tall_matrix_is_added_up_in_many_parts(monkeypatch):
    sizes = []
    with strict_cupy.installed() as cp:
        x = cp.ones((64 * TALL, 5), dtype=np.float32)
        monkeypatch.setattr(strict_cupy, "call", noting_sums(strict_cupy.call, sizes))
        column_sums(x)
        column_sums(x[: TALL - 1])
    assert sizes == [(64, 5), (5,), (5,)]  # the shapes of the results


def noting_sums(call, sizes):
    def noting(kind, name, *args, **kwargs):
        result = call(kind, name, *args, **kwargs)
        if name == "sum":
            sizes.append(result.shape)
        return result

    return noting

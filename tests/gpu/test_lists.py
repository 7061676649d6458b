"""A fused function of lists of arrays: one kernel for all parameters of a model."""

import functools

import numpy as np
import pytest
import strict_cupy

import nnscratch as nn
from nnscratch import backend


@backend.fused("T x, T a", "T y, T z", "y = a * x; z += y;")
def scaled(x, a, y, z):
    np.multiply(a, x, out=y)
    z += y


def arrays(rng, dtypes):
    """Return three lists of arrays with one, some, no and many elements."""
    shapes = [(1,), (2, 3), (0,), (40, 50), (1, 1)]
    return [[rng.normal(size=s).astype(d) for s, d in zip(shapes, dtypes, strict=True)] for _ in range(3)]


@pytest.mark.parametrize("dtypes", [["f8"] * 5, ["f4"] * 5, ["f4", "f8", "f4", "f4", "f8"]], ids=str)
def test_lists_give_what_their_arrays_give_one_by_one(dtypes, rng, on_cuda, on_cpu):
    xs, ys, zs = arrays(rng, dtypes)
    there = [[on_cuda(a) for a in several] for several in (xs, ys, zs)]
    scaled(there[0], 0.5, *there[1:])
    for x, y, z, y_there, z_there in zip(xs, ys, zs, *there[1:], strict=True):
        scaled(x, 0.5, y, z)
        np.testing.assert_array_equal(on_cpu(y_there), y)
        np.testing.assert_allclose(on_cpu(z_there), z, rtol=1e-6, atol=1e-6)  # a GPU may round once


def test_arrays_in_another_order_are_taken_one_by_one(rng, on_cuda, on_cpu):
    xs, ys, zs = ([on_cuda(rng.normal(size=(3, 4))).T, on_cuda(rng.normal(size=(2,)))] for _ in range(3))
    scaled(xs, 2.0, ys, zs)
    for x, y in zip(xs, ys, strict=True):
        np.testing.assert_array_equal(on_cpu(y), 2 * on_cpu(x))


def test_arrays_that_do_not_fit_are_refused_before_any_is_written(on_cuda):
    two, three = on_cuda(np.ones(2)), on_cuda(np.ones(3))
    message = r"scaled: expected arrays of equal size and dtype, got \[\(\(2,\), 'float64'\), \(\(3,\), 'float64'\)"
    with pytest.raises(ValueError, match=message):
        scaled([two, two], 3.0, [two, three], [two, three])
    assert (two == 1).all()


@pytest.mark.parametrize("dtypes", [["f8"] * 5, ["f4"] * 5, ["f4", "f8", "f4", "f4", "f8"]], ids=str)
@pytest.mark.parametrize("threads", [1 << 18, 7])
def test_the_squares_of_all_arrays_add_up_to_what_they_do_on_the_cpu(dtypes, threads, rng, monkeypatch, on_cuda):
    monkeypatch.setattr(type(backend.sums._SQUARES), "THREADS", threads)  # fewer threads than elements, and more
    xs, *_ = arrays(rng, dtypes)
    xs[3] *= 100
    expected = sum(np.square(x, dtype=np.float64).sum() for x in xs)
    there = backend.sums_of_squares([on_cuda(x) for x in xs])
    assert len(there) == len(set(dtypes))
    assert sum(backend.to_floats(there)) == pytest.approx(expected, rel=1e-12)
    assert sum(backend.to_floats(backend.sums_of_squares([on_cuda(xs[2])]))) == 0  # an empty array
    assert sum(backend.to_floats(backend.sums_of_squares(xs))) == pytest.approx(expected, rel=1e-6)


def test_a_norm_that_is_not_finite_says_on_cuda_too_at_which_parameter_it_begins(rng, on_cuda):
    parameters = [nn.Parameter(on_cuda(rng.normal(size=(3, 4)))) for _ in range(3)]
    for p in parameters:
        p.grad[...] = 1.0
    parameters[1].grad[0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="norm is nan: of 3 .* the first .* belongs to parameter 1"):
        nn.optim.clip_grad_norm_(parameters, 1.0)


@pytest.mark.parametrize("go", [0, 1])
@pytest.mark.parametrize("listed", [False, True])
def test_only_if_the_number_there_is_not_0_is_anything_changed(go, listed, rng, on_cuda, on_cpu):
    xs, ys, zs = arrays(rng, ["f8"] * 5)
    there = [[on_cuda(a) for a in several] for several in (xs, ys, zs)]
    with backend.only_if(on_cuda(np.array([go], dtype=np.int32))):
        if listed:
            scaled(there[0], 0.5, *there[1:])
        else:
            for x, y, z in zip(*there, strict=True):
                scaled(x, 0.5, y, z)
    with backend.only_if(np.array([go], dtype=np.int32)):
        scaled(xs, 0.5, ys, zs)
    for own, other in zip((*ys, *zs), (*there[1], *there[2]), strict=True):
        np.testing.assert_allclose(on_cpu(other), own, rtol=1e-14)
    assert np.array_equal(ys[3], 0.5 * xs[3]) == bool(go)


@pytest.mark.parametrize("go", [0, 1])
def test_only_if_holds_for_arrays_in_another_order_too(go, rng, on_cuda, on_cpu):
    x, y, z = (on_cuda(rng.normal(size=(3, 4))).T for _ in range(3))
    before = on_cpu(y).copy()
    with backend.only_if(on_cuda(np.array([go], dtype=np.int32))):
        scaled([x], 2.0, [y], [z])
    np.testing.assert_array_equal(on_cpu(y), 2 * on_cpu(x) if go else before)


# --- counted on the stand-in only ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        *(nn.optim.Adam, nn.optim.AdamW, nn.optim.Adagrad, nn.optim.SGD, nn.optim.RMSprop),
        functools.partial(nn.optim.SGD, momentum=0.9),
        functools.partial(nn.optim.RMSprop, momentum=0.9, centered=True),
    ],
    ids=str,
)
def test_an_optimizer_steps_all_parameters_by_one_launch_and_copies_its_table_once(make):
    with strict_cupy.installed() as cp:
        parameters = [nn.Parameter(cp.ones(shape)) for shape in ((3, 4), (4,), (5, 2, 2))]
        optimizer = make(parameters, lr=0.1)
        for step in range(3):
            for p in parameters:
                p.grad[...] = 1.0
            with strict_cupy.counted() as counts:
                optimizer.step()
            assert (counts.launches, counts.copies, counts.waits) == (1, 2 if step == 0 else 0, 0)
        before = [p.data for p in parameters]
        parameters[1].grad = cp.zeros((4,))  # another array needs another table
        with strict_cupy.counted() as counts:
            optimizer.step()
        assert (counts.launches, counts.copies) == (1, 2)
        assert all(p.data is data for p, data in zip(parameters, before, strict=True))


def test_gradients_are_clipped_by_one_launch():
    with strict_cupy.installed() as cp:
        parameters = [nn.Parameter(cp.ones(shape)) for shape in ((3, 4), (4,), (5, 2, 2))]
        launches = []
        for max_norm in (100.0, 1.0):  # without and with clipping
            for p in parameters:
                p.grad[...] = 1.0
            with strict_cupy.counted() as counts:
                assert nn.optim.clip_grad_norm_(parameters, max_norm) == pytest.approx(6.0)
            launches.append(counts.launches)
        assert launches == [3, 4]  # the squares, their sum, reading it; and scaling
        assert float(parameters[0].grad[0, 0]) == pytest.approx(1 / 6)

"""Each strategy draws values with the documented properties."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.testing import assert_gradients_match
from nnscratch.testing import strategies as nst


@settings(max_examples=50)
@given(nst.well_conditioned(nst.shapes(1, 3), dtype=np.float32))
def test_well_conditioned_arrays_are_of_order_one_and_keep_away_from_zero(x):
    assert x.dtype == np.float32 and 1 <= x.ndim <= 3 and max(x.shape) <= 4
    assert (np.abs(x) <= 2).all() and (np.abs(x) >= 0.0099).all()


@settings(max_examples=50)
@given(nst.distinct(nst.shapes(2, 2), apart=0.2))
def test_distinct_values_are_apart_from_each_other_and_from_zero(x):
    values = np.sort(np.append(x.ravel(), 0))
    assert (np.abs(x) >= 0.0999).all() and (np.diff(values) >= 0.0999).all()
    assert x.size == 1 or np.diff(np.sort(x.ravel())).min() >= 0.1999


@settings(max_examples=50)
@given(nst.with_zeros((3, 4)))
def test_with_zeros_draws_halves(x):
    assert x.shape == (3, 4) and x.dtype == np.float64 and ((2 * x) % 1 == 0).all()


@settings(max_examples=50)
@given(st.data())
def test_ids_and_targets_are_in_range_and_a_target_is_always_counted(data):
    i = data.draw(nst.ids(nst.shapes(1, 2), 7))
    assert i.dtype == np.int64 and ((i >= 0) & (i < 7)).all()
    t = data.draw(nst.targets((5,), 3, ignore_index=-1))
    assert ((t >= -1) & (t < 3)).all() and (t >= 0).any()


@settings(max_examples=50)
@given(nst.probabilities(nst.shapes(1, 3)))
def test_probabilities_sum_to_one(p):
    np.testing.assert_allclose(p.sum(axis=-1), 1)
    assert (p > 0).all()


@settings(max_examples=10)
@given(x=nst.well_conditioned(nst.shapes(2, 3)))
def test_they_test_a_layer(x):
    assert_gradients_match(nn.Tanh(), x)


def test_the_settings_for_gradient_checks_end_a_failing_test_without_a_search_for_a_simpler_example():
    calls = []

    class Wrong(nn.Tanh):
        def backward(self, dy):
            return -super().backward(dy)

    @settings(nst.gradient_settings, database=None)
    @given(x=nst.well_conditioned((2, 3)))
    def check(x):
        calls.append(x)
        assert_gradients_match(Wrong(), x)

    with pytest.raises(AssertionError, match="sign flipped"):
        check()
    assert len(calls) <= 5  # the failing example, and the runs that confirm and print it


def test_the_package_is_imported_without_hypothesis_and_says_what_the_strategies_need():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import nnscratch.testing\n"
        "try: import nnscratch.testing.strategies\n"
        "except ImportError as error: print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "needs hypothesis: pip install 'nnscratch[test]'" in out

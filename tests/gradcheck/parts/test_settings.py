"""Test the options of the checker: which values are allowed, and the error for all others."""

import numpy as np
import pytest

from nnscratch.gradcheck.settings import Settings


@pytest.mark.parametrize("options", [
    {}, {"mode": "full"}, {"mode": "sampled"}, {"mode": "directional"}, {"samples": 1}, {"samples": np.int64(7)},
    {"directions": 1}, {"rtol": None}, {"rtol": 1e-300}, {"rtol": 0.99}, {"rtol": np.float32(0.5)},
])  # fmt: skip
def test_allowed_values(options):
    settings = Settings(**options)
    assert all(getattr(settings, name) == value for name, value in options.items())


@pytest.mark.parametrize("options, words", [
    ({"mode": "fast"}, "mode must be one of 'auto', 'full', 'sampled', 'directional', got 'fast'"),
    ({"samples": 0}, "samples must be an integer of 1 or more, got 0"),
    ({"samples": -3}, "samples must be an integer of 1 or more, got -3"),
    ({"samples": 2.0}, "samples must be an integer of 1 or more, got 2.0"),
    ({"samples": True}, "samples must be an integer of 1 or more, got True"),
    ({"directions": 0}, "directions must be an integer of 1 or more, got 0"),
    ({"directions": None}, "directions must be an integer of 1 or more, got None"),
    ({"rtol": 0}, "rtol must lie between 0 and 1, got 0"), ({"rtol": 1}, "rtol must lie between 0 and 1, got 1"),
    ({"rtol": -0.1}, "rtol must lie between 0 and 1, got -0.1"), ({"rtol": 1.5}, "between 0 and 1, got 1.5"),
    ({"rtol": float("nan")}, "rtol must lie between 0 and 1, got nan"),
])  # fmt: skip
def test_other_values_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Settings(**options)

"""Settings for all tests, and what several of them share."""

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("nnscratch", deadline=None)  # a busy machine is no failure
settings.load_profile("nnscratch")


@pytest.fixture
def numerical():
    """numerical(f, x, eps): dL/dx of a number L = f(), by central differences, x changed in place and put back."""

    def gradient_of(f, x, eps=1e-5):
        gradient = np.empty_like(x)
        for k in np.ndindex(x.shape):
            old, values = x[k], []
            for step in (eps, -eps):
                x[k] = old + step
                values.append(f())
            x[k] = old
            gradient[k] = (values[0] - values[1]) / (2 * eps)
        return gradient

    return gradient_of

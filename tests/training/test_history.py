"""History: which validation is the best one."""

import math

import nnscratch as nn


def test_a_validation_of_nan_is_never_the_best_where_there_is_another():
    valid = [{"step": step, "loss": loss} for step, loss in enumerate([math.nan, 3.0, math.nan, 2.0, math.inf])]
    assert [nn.History(valid=valid[:n]).best["step"] for n in (2, 3, 4, 5)] == [1, 1, 3, 3]
    assert nn.History(valid=valid[:1]).best is valid[0]
    assert nn.History().best is None

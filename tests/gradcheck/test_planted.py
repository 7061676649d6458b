"""The suite of planted mistakes: all caught, and the code without the mistake is right."""

import pytest

from benchmarks.mistakes import Outcome, all_correct, all_mistakes
from nnscratch.gradcheck import check_gradients

MISTAKES = all_mistakes()


@pytest.mark.parametrize("planted", MISTAKES, ids=lambda p: f"{p.area}: {p.what}")
def test_a_planted_mistake_is_caught(planted):
    assert Outcome(planted, planted.check()).caught


@pytest.mark.parametrize(("area", "target", "inputs", "options"), all_correct())
def test_the_code_without_the_mistake_is_right(area, target, inputs, options):
    assert check_gradients(target, *inputs, **options).ok

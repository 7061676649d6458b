"""Test that every planted mistake is caught and named, and that the code without it is right."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.mistakes import Outcome, all_correct, all_mistakes, forms
from nnscratch.gradcheck import check_gradients

EVERY = all_mistakes()
IN_FORMS = len(forms.MISTAKES)  # a tenth of them is tested here; `python -m benchmarks.mistakes` tests all
MISTAKES = EVERY[:-IN_FORMS] + EVERY[-IN_FORMS::10]
NOT_NAMED_FIRST = {  # the known exceptions, as "area: what was written"
    "classes: activation_classes: inner factor forgotten",
    "numbers: logistic_regression_in_lists: bias of one example",
}


def line(planted):
    return f"{planted.area}: {planted.what}"


# make test checks every fourth one, and make test-thorough all others
SOME = [pytest.param(planted, marks=[pytest.mark.thorough] * (k % 4 > 0)) for k, planted in enumerate(MISTAKES)]


@pytest.mark.parametrize("planted", SOME, ids=[line(planted) for planted in MISTAKES])
def test_a_planted_mistake_is_caught_and_named_first(planted):
    outcome = Outcome(planted, planted.check())
    assert outcome.caught
    if line(planted) in NOT_NAMED_FIRST:
        assert outcome.rank != 1, "named first now: take it off the list"
    else:
        assert outcome.rank == 1, str(outcome.report)


@pytest.mark.parametrize(("area", "target", "inputs", "options"), all_correct())
def test_the_code_without_the_mistake_is_right(area, target, inputs, options):
    assert check_gradients(target, *inputs, **options).ok


PAIRS = [(t, inputs) for _, t, inputs, _ in all_correct()[: -len(forms.CORRECT)] if isinstance(t, tuple)]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("target", "inputs", "where"),
    [(*pair, (0, -1)[k % 2]) for k, pair in enumerate(PAIRS[::3])],
    ids=[pair[0].__name__ for pair, _ in PAIRS[::3]],
)
def test_noise_in_one_gradient_is_wrong_and_nothing_explains_it(target, inputs, where):
    forward, backward = target
    rng = np.random.default_rng(0)
    noise = {}

    def noisy_backward(*arguments):
        given = backward(*arguments)
        gradients = list(given) if isinstance(given, tuple) else [given]
        shape = gradients[where].shape
        gradients[where] = gradients[where] + noise.setdefault(shape, rng.normal(size=shape))
        return tuple(gradients) if isinstance(given, tuple) else gradients[0]

    report = check_gradients((forward, noisy_backward), *inputs)
    assert report.verdict == "wrong"
    assert report.diagnoses == [], str(report)


def test_the_suite_is_as_large_as_it_says():
    assert len(MISTAKES) >= 60
    assert {p.area for p in MISTAKES} >= {
        "linear",
        "activation",
        "loss",
        "convolution",
        "embedding",
        "normalisation",
        "dropout",
        "RNN",
        "GRU",
        "LSTM",
    }
    assert sum(p.held_out for p in MISTAKES) >= 20


def test_the_page_of_names_has_every_mistake():
    page = (Path(__file__).parents[2] / "docs" / "gradcheck" / "diagnosis.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    names = {name.strip() for row in rows for name in row.split(",")}
    names |= {name.replace("last (first)", word) for name in names for word in ("last", "first")}
    assert {planted.mistake for planted in MISTAKES} - names == set()

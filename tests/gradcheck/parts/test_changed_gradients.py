"""Test the changes of a gradient inside forward: each change c - g has the value that its evidence says."""

from types import SimpleNamespace

import numpy as np
import pytest

from nnscratch.gradcheck.diagnosis.changed_gradients import (
    MASK,
    TARGETS,
    changed_gradients,
    exchanged_terms,
    formulas,
    is_partly_zero,
    one_hot,
    only,
    reshaped,
    shifted_with_zeros,
    with_factors,
    with_other_arrays,
    without_targets,
)

G = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, -4.0]])
SQUARE = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, -4.0], [6.0, 0.5, 8.0]])
P = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def site(*gradients, values=None):
    return SimpleNamespace(gradients=list(gradients), values=list(values or gradients), readers=["u * p"])


def by_text(g):
    return {text.removeprefix("the gradient of %u "): (rank, mistake, f(g)) for rank, mistake, text, f in formulas(g)}


def test_a_gradient_with_a_mask_or_a_function():
    found = by_text(G)
    expected = {
        "is set to 0 where it is negative": (MASK, np.maximum(G, 0)),
        "is set to 0 where it is positive": (MASK, np.minimum(G, 0)),
        "is taken as 1 everywhere": ("upstream gradient missing", np.ones(G.shape)),
        "is replaced by its absolute value": ("upstream gradient wrong", abs(G)),
        "is replaced by its sign": ("upstream gradient wrong", np.sign(G)),
        "is replaced by its square": ("upstream gradient wrong", G**2),
        "is reversed along axis 0": ("axes reversed", G[::-1]),
        "is reversed along axis 1": ("axes reversed", G[:, ::-1]),
        "is shifted by 1 along axis 1": ("shifted by one", np.roll(G, 1, 1)),
        "is shifted by -1 along axis 1": ("shifted by one", np.roll(G, -1, 1)),
        "is shifted by 1 along axis 1, with zeros at one end": ("shifted by one", [[0, 1, -2], [0, 3, 7]]),
        "is shifted by -1 along axis 1, with zeros at one end": ("shifted by one", [[-2, 5, 0], [7, -4, 0]]),
        "contains only sample 1 along axis 0": ("one sample counted", G * [[0], [1]]),
        "contains only sample 2 along axis 1": ("one sample counted", G * [0, 0, 1]),
        "does not contain sample 0 along axis 0": ("one sample not counted", G * [[0], [1]]),
        "at sample 1 along axis 1 is used everywhere": ("upstream gradient wrong", np.tile(G[:, 1:2], 3)),
        "is reshaped where transpose(1, 0) is needed": ("reshaped instead of transposed", G.T.reshape(2, 3)),
    }
    for text, (mistake, values) in expected.items():
        assert found[text][1] == mistake, text
        np.testing.assert_allclose(found[text][2], values, err_msg=text)
    np.testing.assert_allclose(found["the sum of the gradient of %u along axis 0 is used everywhere"][2],
                               np.broadcast_to(G.sum(0), G.shape))  # fmt: skip
    np.testing.assert_allclose(found["the mean of the gradient of %u along axis 1 is used everywhere"][2],
                               np.broadcast_to(G.mean(1, keepdims=True), G.shape))  # fmt: skip
    assert not any("shifted" in text and "axis 0" in text for text in found)  # two rows can only be reversed
    assert not any("exchanged" in text for text in found)  # G is not square
    assert len([text for text in found if "contains only" in text]) == 5


def test_a_transposed_gradient():
    np.testing.assert_array_equal(
        by_text(SQUARE)["the axes of the gradient of %u are exchanged: transpose(1, 0)"][2], SQUARE.T
    )
    stack = np.arange(8.0).reshape(2, 2, 2)
    found = by_text(stack)
    assert len([text for text in found if "exchanged" in text]) == 5 == len([t for t in found if "is reshaped" in t])
    np.testing.assert_array_equal(found["the axes of the gradient of %u are exchanged: transpose(0, 2, 1)"][2],
                                  np.swapaxes(stack, 1, 2))  # fmt: skip
    assert "contains only index 1 along axis 2" in found and "contains only sample 1 along axis 0" in found
    assert any("exchanged" in t for t in by_text(np.ones((1, 1, 2, 2)))) and not any(
        "exchanged" in t for t in [*by_text(np.ones((1, 1, 1, 2, 2))), *by_text(np.ones(3))]
    )


def test_the_samples_of_a_long_axis():
    found = by_text(np.arange(12.0))
    assert [k for k in range(12) if f"contains only sample {k} along axis 0" in found] == [*range(8), 11]
    assert not [t for t in by_text(np.ones((1, 3))) if "axis 0" in t]  # one sample is all samples


def test_the_more_specific_change_comes_first():
    found = sorted(formulas(SQUARE), key=lambda f: f[0])
    order = list(dict.fromkeys(mistake for _, mistake, *_ in found))
    assert order == [
        MASK, "upstream gradient missing", "upstream gradient wrong", "one sample counted", "axes reversed",
        "shifted by one", "transposed", "one sample not counted", "reshaped instead of transposed",
    ]  # fmt: skip
    (of_known,) = ([rank for rank, *_ in with_factors(site(P), [([P], "p", False)])],)
    assert max(of_known[:-2]) < found[0][0] < of_known[-1] < of_known[-2]
    others = [rank for rank, *_ in with_other_arrays(site(P), [([P], "p", False), ([P**2], "q", False)])]
    assert others == sorted(others) and others[0] > max(rank for rank, *_ in found) and others[0] > max(of_known)
    assert others[-1] < 3  # before a path missing
    targets = [rank for rank, *_ in without_targets(site(G), [([P], "t", True)], [("labels", np.array([2, 0]))])]
    assert len(targets) == 2 and max(targets) < 2  # before a transposed gradient


def test_parts_of_a_gradient():
    assert only(G, 1, 2).tolist() == [[0, 0, 5], [0, 0, -4]] and only(G, 0, 0).tolist() == [[1, -2, 5], [0, 0, 0]]
    assert not only(G, 0, 2).any()  # there is no such row
    assert shifted_with_zeros(np.array([1.0, 2, 3]), 1, 0).tolist() == [0, 1, 2]
    assert shifted_with_zeros(np.array([1.0, 2, 3]), -1, 0).tolist() == [2, 3, 0]
    assert reshaped(G, (1, 0)).tolist() == [[1, 3, -2], [7, 5, -4]]


def test_a_mask_is_seen_in_six_elements_or_more():
    assert is_partly_zero([np.maximum(G, 0)]) and not is_partly_zero([np.array([1.0, 0, 0, 0, 0])])
    assert not is_partly_zero([np.zeros(6)]) and is_partly_zero([np.zeros(3), np.array([0.0, 1, 0])])
    texts = [text for _, mistake, text, *_ in changed_gradients(site(G[0]), [], []) if mistake == MASK]
    assert texts == []
    assert len([m for _, m, *_ in changed_gradients(site(G), [], []) if m == MASK]) == 2
    assert len([m for _, m, *_ in changed_gradients(site(abs(G)), [], []) if m == MASK]) == 1


def test_changes_in_all_rounds_of_a_loop():
    found = {text: change for _, _, text, change, _ in changed_gradients(site(G, 2 * G), [], [])}
    change = found["the gradient of %u is replaced by its square"]
    np.testing.assert_allclose(change[0], G**2 - G)
    np.testing.assert_allclose(change[1], 4 * G**2 - 2 * G)
    assert list(changed_gradients(site(G, G[0]), [], [])) == []  # rounds of different shapes
    assert not any(free for *_, free in changed_gradients(site(G), [], []))  # no unknown number


# --- targets ---------------------------------------------------------------------------------------------------------


def test_a_missing_target_is_a_constant_array_or_the_label_of_each_sample():
    ids = np.array([2, 0])
    found = list(without_targets(site(G), [([P], "target", True), ([P], "p", False)], [("labels", ids)]))
    assert all(mistake == TARGETS and free for _, mistake, _, _, free in found) and len(found) == 2
    assert found[0][3][0] is P and "%c * target" in found[0][2]
    assert found[1][3][0].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert found[1][2].endswith("lacks the term of the labels in labels: %c at the class of each sample")
    columns = np.array([1, 0, 1])  # one label for each column
    (found,) = without_targets(site(G), [], [("labels", columns)])
    assert found[3][0].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert list(without_targets(site(G[0]), [], [("labels", ids)])) == []
    assert list(without_targets(site(G), [([np.ones(G.shape)], "one", True)], [])) == []  # equal targets: a bias
    assert list(without_targets(site(G, G), [], [("labels", ids)])) == []
    padded = ([P, 0 * P], "targets", True)  # in the second round of a loop, the targets are padding
    assert [found[3] for found in without_targets(site(G, G), [padded], [])] == [padded[0]]
    assert len(list(without_targets(site(G), [([P / 100], "small", True)], []))) == 1


def test_one_hot_rows():
    assert one_hot(np.array([1, 0, 1]), 3, 2).tolist() == [[0, 1], [1, 0], [0, 1]]
    assert one_hot(np.array([1, 0]), 3, 2) is None and one_hot(np.array([1, 2]), 2, 2) is None


# --- other arrays ----------------------------------------------------------------------------------------------------


def test_a_factor_too_many_or_too_few():
    found = {
        text: (mistake, change[0], free)
        for _, mistake, text, change, free in with_factors(site(G), [([P], "p", False)])
    }
    says = "the gradient of %u "
    expected = {
        f"{says}has the extra factor `p` (1 - `p`)": ("activation's derivative applied twice", G * P * (1 - P)),
        f"{says}lacks the factor `p` (1 - `p`)": ("activation's derivative missing", G / (P * (1 - P))),
        f"{says}has the extra factor (1 - `p`^2)": ("activation's derivative applied twice", G * (1 - P**2)),
        f"{says}lacks the factor (1 - `p`^2)": ("activation's derivative missing", G / (1 - P**2)),
        f"{says}has the extra factor `p`": ("a factor applied twice", G * P),
        f"{says}lacks the factor `p`": ("a factor missing", G / P),
    }
    assert found.keys() == expected.keys()
    for text, (mistake, gradient) in expected.items():
        assert found[text][0] == mistake and not found[text][2]
        np.testing.assert_allclose(found[text][1], gradient - G, err_msg=text)


@pytest.mark.parametrize("values, texts", [
    (P, 6), (-P, 4), (P + 1, 2), (P - P[0, 0], 3), (np.where(P == 0.5, 1.0, P), 2), (np.where(P == 0.5, -1.0, P), 2),
    (np.where(P == 0.5, 0.0, P), 3),
])  # fmt: skip
def test_factors_exist_only_where_their_formula_can_hold(values, texts):
    assert len(list(with_factors(site(G), [([values], "v", False)]))) == texts
    in_a_loop = list(with_factors(site(G, G), [([P, values], "v", False)]))  # it must hold in each round
    assert len(in_a_loop) == texts and all(len(changes) == 2 for *_, changes, _ in in_a_loop)


def test_one_array_in_place_of_another_one():
    known = [([P], "p", False), ([P**2 + 1], "q", False)]
    found = {text: (change[0], free) for _, _, text, change, free in with_other_arrays(site(G), known)}
    says = "the gradient of %u "
    np.testing.assert_allclose(found[f"{says}has the factor `q` instead of `p`"][0], G / P * (P**2 + 1) - G)
    np.testing.assert_allclose(found[f"{says}has the factor `p` instead of `q`"][0], G * P / (P**2 + 1) - G)
    assert not found[f"{says}has the factor `p` instead of `q`"][1]
    sums, free = found[f"{says}contains `q` where it needs `p`"]
    np.testing.assert_allclose(sums, P - (P**2 + 1))
    assert free and len(found) == 3
    assert len(list(with_other_arrays(site(G), [([P - 0.2], "p", False), known[1]]))) == 2  # no quotient by zero
    known = [([P, P - 0.2], "p", False), ([P, P**2 + 1], "q", False)]
    assert len(list(with_other_arrays(site(G, G), known))) == 2  # a zero in one round of a loop
    many = [([P + k], str(k), False) for k in range(20)]
    assert len(list(with_other_arrays(site(G), many))) == 16 * 15 + 16 * 15 // 2


def test_the_term_that_the_gradient_needs_is_read_by_forward():
    def says(readers, name="p", other="q"):
        return exchanged_terms(name, other, readers).removeprefix("the gradient of %u contains ")

    assert says(["u * p"]) == "`q` where it needs `p`" and says(["q + u"]) == "`p` where it needs `q`"
    unknown = "`p` where it needs `q`, or `q` where it needs `p`"
    assert says(["u * pq"]) == unknown == says(["u * p", "u * q"]) == says([])
    assert says(["u * a.p"]) == unknown  # another array
    assert says(["u - 1", "u * p", "2 * u"]) == "`q` where it needs `p`"
    assert says(["u * exp(h)"], "h", "exp(h)") == "`h` where it needs `exp(h)`"
    assert says(["u * (p + q)"], "p", "p + q") == "`p` where it needs `p + q`"


def test_constant_arrays_are_no_factors():
    texts = [
        text for _, _, text, *_ in changed_gradients(site(G), [([0 * P + 2], "two", False), ([P], "p", False)], [])
    ]
    assert any("`p`" in text for text in texts) and not any("`two`" in text for text in texts)
    assert any(
        "instead of `p`" in t
        for _, _, t, *_ in changed_gradients(site(G), [([P], "p", False), ([P**2], "q", False)], [])
    )
    assert any(m == TARGETS for _, m, *_ in changed_gradients(site(G), [([P], "p", True)], []))


def test_a_state_that_is_zero_in_the_first_round_is_a_factor():
    states = [0 * P, P]
    texts = [text for _, _, text, *_ in changed_gradients(site(G, G), [(states, "h", False)], [])]
    assert "the gradient of %u has the extra factor `h`" in texts
    assert not any("`two`" in t for _, _, t, *_ in changed_gradients(site(G, G), [([0 * P + 2] * 2, "two", False)], []))

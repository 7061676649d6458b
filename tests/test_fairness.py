"""Rates and gaps by group against their definitions, the weights, the drawn data, and what re-weighting does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnscratch as nn
from nnscratch.fairness import draw_applicants, group_report, reweighting


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=40))
def test_the_rates_are_counts(rows):
    report = group_report(*np.array(rows).T)
    for g in report.groups:
        own = [(p, y) for p, y, a in rows if a == g.group]
        assert g.count == len(own)
        assert g.accuracy == pytest.approx(sum(p == y for p, y in own) / len(own))
        assert g.positive_rate == pytest.approx(sum(p for p, _ in own) / len(own))
        for label, rate in ((1, g.true_positive_rate), (0, g.false_positive_rate)):
            of_label = [p for p, y in own if y == label]
            assert np.isnan(rate) if not of_label else rate == pytest.approx(sum(of_label) / len(of_label))
    for gap in (report.demographic_parity_gap, report.equalised_odds_gap):
        assert 0 <= gap <= 1 or np.isnan(gap)
    assert np.isnan(report.demographic_parity_gap) == (len(report.groups) == 1)


def test_the_gaps_are_the_largest_differences():
    p = np.array([1, 1, 1, 0, 1, 0, 0, 0])
    y = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    report = group_report(p, y, np.array(["north"] * 4 + ["south"] * 4))
    assert [g.group for g in report.groups] == ["north", "south"]
    assert report.demographic_parity_gap == 0.5 and report.equalised_odds_gap == 0.5
    assert "demographic parity 0.500, equalised odds 0.500" in str(report)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30))
def test_with_the_weights_the_label_does_not_depend_on_the_group(rows):
    y, a = np.array(rows + [(i, j) for i in range(3) for j in range(3)]).T  # every cell has an example
    w = reweighting(y, a)
    assert w.mean() == pytest.approx(1)
    for group in range(3):
        for label in range(3):
            joint = w[(a == group) & (y == label)].sum() / len(y)
            assert joint == pytest.approx((a == group).mean() * (y == label).mean())


def test_reweighting_narrows_the_gap_of_a_classifier():
    x, y, _, groups = draw_applicants(3000, rng=0)
    test_x, _, qualified, test_groups = draw_applicants(3000, rng=1)
    weights = reweighting(y, groups)
    rows = np.random.default_rng(2).choice(len(y), len(y), p=weights / weights.sum())
    gaps = []
    for inputs, targets in ((x, y), (x[rows], y[rows])):
        model = nn.models.MLP([2, 8, 2], rng=0)
        trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.03))
        trainer.fit([(inputs, targets)], steps=150)
        report = group_report(model(test_x).argmax(axis=1), qualified, test_groups)
        gaps.append((report.demographic_parity_gap, report.equalised_odds_gap))
    assert gaps[1][0] < gaps[0][0] / 2 and gaps[1][1] < gaps[0][1] / 2


def test_bad_arguments_are_named():
    zeros = np.zeros(3, int)
    with pytest.raises(ValueError, match="predictions must be 0 or 1"):
        group_report(np.array([0, 1, 2]), zeros, zeros)
    with pytest.raises(ValueError, match="targets must be 0 or 1, one for each of the 3 examples"):
        group_report(zeros, np.zeros(2), zeros)
    with pytest.raises(ValueError, match="groups must have shape"):
        group_report(zeros, zeros, np.zeros((3, 1)))
    with pytest.raises(ValueError, match="got 3 and 2"):
        reweighting(zeros, zeros[:2])
    with pytest.raises(ValueError, match="bias"):
        draw_applicants(3, bias=1.5)


def test_a_gap_needs_two_groups_with_the_rate():
    one = nn.fairness.group_report(np.array([1, 0]), np.array([1, 0]), np.array([0, 0]))
    assert np.isnan(one.demographic_parity_gap) and np.isnan(one.equalised_odds_gap)
    only_one_has_y_0 = nn.fairness.group_report(np.array([1, 0, 1, 0]), np.array([1, 0, 1, 1]), np.array([0, 0, 1, 1]))
    assert only_one_has_y_0.equalised_odds_gap == 0.5
    with pytest.raises(ValueError, match="groups must not hold NaN"):
        nn.fairness.group_report(np.array([1, 0]), np.array([1, 0]), np.array([0.0, np.nan]))


def test_the_table_is_as_wide_as_the_longest_name():
    table = str(nn.fairness.group_report(np.array([1, 0]), np.array([1, 0]), np.array(["a long name", "b"])))
    assert len({len(line) for line in table.splitlines()[:-1]}) == 1

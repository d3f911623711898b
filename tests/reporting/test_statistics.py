import math
from itertools import permutations

import numpy as np
import pytest

from autoreg.reporting.statistics import best_of_n, bootstrap_interval, holm, paired_test


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.5, 0.5, 0.5], (0.5, 0.5)), ([0.7], (0.7, 0.7)), ([0.5, math.nan], (0.5, 0.5))],
)
def test_interval_of_equal_values_is_that_value(values, expected):
    assert bootstrap_interval(values) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_interval_of_nothing_is_unknown(values):
    assert np.isnan(bootstrap_interval(values)).all()


def test_interval_is_close_to_the_normal_one_for_many_values():
    values = np.random.default_rng(0).normal(0.7, 0.1, 400)
    half = 1.96 * values.std() / 20
    expected = (values.mean() - half, values.mean() + half)
    assert bootstrap_interval(values) == pytest.approx(expected, abs=0.15 * half)


def test_interval_is_reproducible_and_narrower_at_a_lower_level():
    values = np.arange(20.0)
    low, high = bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) == (low, high)
    assert bootstrap_interval(values, seed=2) != (low, high)
    inner = bootstrap_interval(values, level=0.5, seed=1)
    assert low < inner[0] < values.mean() < inner[1] < high


@pytest.mark.parametrize(
    ("difference", "p"),
    [
        ([1, 2, 3, 4, 5, 6], 2 / 2**6),  # all ranks on one side: the most extreme of 64 sign patterns, twice
        ([-1, -2, -3, -4, -5, -6], 2 / 2**6),
        ([-1, 2, 3, 4, 5, 6], 4 / 2**6),  # rank sum 1: two patterns as extreme, on either side
        ([0, 0, 0], 1.0),
        ([], 1.0),
    ],
)
def test_wilcoxon_by_hand(difference, p):
    b = np.linspace(0.0, 1.0, len(difference))
    assert paired_test(b + np.array(difference), b)["p_value"] == pytest.approx(p)


def test_paired_test_reports_the_difference_without_incomplete_pairs():
    test = paired_test([0.8, 0.7, math.nan, 0.5], [0.6, 0.5, 0.5, math.nan])
    assert test["n"] == 2
    assert test["mean_difference"] == pytest.approx(0.2)
    assert test["interval"] == pytest.approx((0.2, 0.2))


def test_unmatched_values_are_refused():
    with pytest.raises(ValueError, match="matched"):
        paired_test([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 x 0.01; 2 x 0.03; 0.04 raised to keep the order
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(p, expected):
    assert holm(p) == pytest.approx(expected)


def test_best_of_two_by_hand():
    frame = best_of_n([0.6, 0.8], [10.0, 30.0])
    assert frame["n"].tolist() == [1, 2]
    assert frame["mean"].tolist() == pytest.approx([0.7, 0.8])
    assert frame["low"].tolist() == pytest.approx([0.6, 0.8])
    assert frame["high"].tolist() == pytest.approx([0.8, 0.8])
    assert frame["device_seconds"].tolist() == pytest.approx([20.0, 40.0])


@pytest.mark.parametrize("scores", [[0.1, 0.5, 0.3, 0.2], [0.4, math.nan, 0.2, 0.4], [0.5]])
def test_best_of_n_equals_the_mean_over_all_orders(scores):
    frame = best_of_n(scores, [1.0] * len(scores)).set_index("n")
    for n in frame.index:
        heads = [[s for s in order[:n] if s == s] for order in permutations(scores)]
        assert frame.loc[n, "mean"] == pytest.approx(np.mean([max(head) for head in heads if head]))


def test_the_pick_is_by_score_and_its_worth_by_value():
    frame = best_of_n([0.9, 0.1, 0.2], [1.0] * 3, values=[0.5, 0.8, 0.7])
    assert frame["mean"].tolist() == pytest.approx([2 / 3, (2 * 0.5 + 0.7) / 3, 0.5])
    assert frame["low"].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert frame["high"].tolist() == pytest.approx([0.8, 0.7, 0.5])


def test_a_failed_trial_costs():
    frame = best_of_n([0.5, math.nan], [10.0, 30.0])
    assert frame["device_seconds"].tolist() == [20.0, 40.0]
    assert frame["mean"].tolist() == [0.5, 0.5]


def test_failed_trials_only_give_no_curve():
    assert best_of_n([math.nan, math.nan], [1.0, 1.0]).empty


def test_a_cost_for_each_score():
    with pytest.raises(ValueError, match="one cost"):
        best_of_n([0.5, 0.6], [1.0])

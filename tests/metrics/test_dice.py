"""Dice of label maps."""

import numpy as np
import pytest

from autoreg.metrics import dice


def test_values_by_hand() -> None:
    fixed = np.array([[1, 1, 2, 2], [0, 0, 3, 5]])
    warped = np.array([[1, 0, 2, 2], [0, 0, 1, 4]])
    # label 1: 2 * 1 / (2 + 2); label 2: equal; 3 only fixed; 4 only warped; 9 in neither
    np.testing.assert_allclose(dice(fixed, warped, [2, 1, 3, 4, 9]), [1.0, 0.5, np.nan, np.nan, np.nan])


def test_a_label_that_warping_has_lost_counts_nothing() -> None:
    """Or a field that throws everything out of the image would have no Dice at all."""
    fixed, moving, warped = np.array([1, 1, 2, 0]), np.array([0, 1, 3]), np.array([0, 0, 0, 0])
    np.testing.assert_array_equal(dice(fixed, warped, [1, 2, 3], moving_labels=moving), [0.0, np.nan, np.nan])


def test_present_in_both_without_overlap_is_zero() -> None:
    assert dice(np.array([1, 0]), np.array([0, 1]), [1]).tolist() == [0.0]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="expected equal shapes"):
        dice(np.zeros((2, 3)), np.zeros((3, 2)), [1])

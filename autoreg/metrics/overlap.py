"""Dice of label maps."""

from collections.abc import Sequence

import numpy as np


def dice(
    fixed_labels: np.ndarray,
    warped_labels: np.ndarray,
    label_numbers: Sequence[int],
    *,
    moving_labels: np.ndarray | None = None,
) -> np.ndarray:
    """Dice of every label, (L,) in 0..1; NaN where the fixed or the moving map lacks the label (the Learn2Reg rule).

    Args:
        fixed_labels: label numbers on the fixed grid.
        warped_labels: the moving labels on the fixed grid, same shape.
        label_numbers: which labels, in the order of the result; usually without 0.
        moving_labels: before they were warped, any shape; a label that only warping has lost counts 0, where without
            this it is NaN.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> dice(np.array([1, 1, 0]), np.array([0, 1, 0]), [1, 2])
        array([0.66666667,        nan])
    """
    fixed_labels, warped_labels = np.asarray(fixed_labels), np.asarray(warped_labels)
    if fixed_labels.shape != warped_labels.shape:
        raise ValueError(f"dice: expected equal shapes, got {fixed_labels.shape} and {warped_labels.shape}")
    there = warped_labels if moving_labels is None else np.asarray(moving_labels)
    return np.array(
        [
            _dice_of_masks(fixed_labels == number, warped_labels == number) if (there == number).any() else np.nan
            for number in label_numbers
        ]
    )


def _dice_of_masks(fixed: np.ndarray, warped: np.ndarray) -> float:
    size = np.count_nonzero(fixed)
    return 2 * np.count_nonzero(fixed & warped) / (size + np.count_nonzero(warped)) if size else np.nan

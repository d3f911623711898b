"""Dice of label maps."""

from collections.abc import Sequence

import numpy as np


def dice(fixed_labels: np.ndarray, warped_labels: np.ndarray, label_numbers: Sequence[int]) -> np.ndarray:
    """Dice of every label, (L,) in 0..1; NaN where either map lacks the label (the Learn2Reg rule).

    Args:
        fixed_labels: label numbers on the fixed grid.
        warped_labels: the moving labels on the fixed grid, same shape.
        label_numbers: which labels, in the order of the result; usually without 0.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> dice(np.array([1, 1, 0]), np.array([0, 1, 0]), [1, 2])
        array([0.66666667,        nan])
    """
    fixed_labels, warped_labels = np.asarray(fixed_labels), np.asarray(warped_labels)
    if fixed_labels.shape != warped_labels.shape:
        raise ValueError(f"dice: expected equal shapes, got {fixed_labels.shape} and {warped_labels.shape}")
    return np.array([_dice_of_masks(fixed_labels == number, warped_labels == number) for number in label_numbers])


def _dice_of_masks(fixed: np.ndarray, warped: np.ndarray) -> float:
    sizes = np.count_nonzero(fixed), np.count_nonzero(warped)
    return 2 * np.count_nonzero(fixed & warped) / sum(sizes) if all(sizes) else np.nan

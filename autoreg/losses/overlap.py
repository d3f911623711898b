"""Overlap of labels as a differentiable term."""

from collections.abc import Sequence

import torch
from torch import Tensor

from autoreg.shapes import Labels, OneHot


def one_hot(labels: Labels, label_numbers: Sequence[int]) -> OneHot:
    """One float channel a label number, (b, L, *s), in the order given; other numbers appear nowhere."""
    numbers = torch.tensor(label_numbers, dtype=labels.dtype, device=labels.device)
    return (labels == numbers.view(1, -1, *[1] * (labels.ndim - 2))).float()


def soft_dice_loss(fixed_onehot: OneHot, warped_onehot: OneHot) -> Tensor:
    """1 - mean soft Dice over the labels a sample has, (b,) in 0..1.

    A label absent from both maps of a sample does not count there. A sample without any label gives 0
    and no gradient. Leave the background out of the channels.

    Args:
        fixed_onehot: (b, L, *s), 0 or 1.
        warped_onehot: (b, L, *s), 0..1, the moving one-hot map warped linearly.

    Raises:
        ValueError: if the shapes differ.
    """
    if fixed_onehot.shape != warped_onehot.shape:
        raise ValueError(
            f"soft_dice_loss: expected equal shapes, got {tuple(fixed_onehot.shape)} and {tuple(warped_onehot.shape)}"
        )
    dtype = torch.promote_types(warped_onehot.dtype, torch.float32)
    fixed, warped = fixed_onehot.to(dtype).flatten(2), warped_onehot.to(dtype).flatten(2)
    size = fixed.sum(2) + warped.sum(2)
    present = size > 0
    dice = 2 * (fixed * warped).sum(2) / torch.where(present, size, 1)
    return ((1 - dice) * present).sum(1) / present.sum(1).clamp(min=1)

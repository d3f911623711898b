"""Overlap of labels as a differentiable term."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from autoreg.shapes import Labels, OneHot


def one_hot(labels: Labels, label_numbers: Sequence[int], *, times: int = 0) -> OneHot:
    """One float channel a label number, in the order given; other numbers appear nowhere.

    On a grid 2^times coarser, the share of each voxel that the label has: what halving the channels gives, without
    the channels of the finer grid, which take a hundred times the memory of the labels.

    Args:
        labels: (b, 1, *s).
        label_numbers: L different numbers.

    Returns:
        (b, L, *s // 2^times), float32.
    """
    numbers, channels = torch.tensor(label_numbers, dtype=labels.dtype, device=labels.device).sort()
    place = torch.searchsorted(numbers, labels).clamp(max=len(numbers) - 1)
    factor = 2**times
    counted = (numbers[place] == labels).float() / factor ** (labels.ndim - 2)
    place = channels[place]
    coarse = [n // factor for n in labels.shape[2:]]
    shares = counted.new_zeros(len(labels), len(numbers), *coarse)
    for corner in product(range(factor), repeat=len(coarse)):
        own = (..., *(slice(at, n * factor, factor) for at, n in zip(corner, coarse, strict=True)))
        shares.scatter_add_(1, place[own], counted[own])
    return shares


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

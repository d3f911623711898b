"""A displacement without folds: smoothed where voxels fold, untouched elsewhere."""

import torch
import torch.nn.functional as F
from torch import Tensor

from autoreg.metrics import folded_voxels
from autoreg.shapes import Displacement
from autoreg.spatial import window_mean

REACH = 2
"""Voxels around a fold that change; over one voxel more the change fades."""
_PASSES = 30


def mended(displacement: Displacement) -> Displacement:
    """The displacement (1, d, *s) with means over 3^d voxels taken where it folds, again until it does not.

    What still folds after 30 passes stays so. One that does not fold comes back itself.
    """
    for _ in range(_PASSES):
        folded = folded_voxels(displacement)
        if not folded.any():
            break
        displacement = torch.lerp(displacement, window_mean(displacement, 3), near(folded, displacement))
    return displacement


def near(folded: Tensor, like: Tensor) -> Tensor:
    """1 around folded voxels, (1, *s - 2), falling to 0: (1, 1, *s) in the dtype of `like`."""
    dims = folded.ndim - 1
    around = F.pad(folded[None].to(like.dtype), (1, 1) * dims)
    around = {2: F.max_pool2d, 3: F.max_pool3d}[dims](around, 2 * REACH + 1, stride=1, padding=REACH)
    return window_mean(around, 3)

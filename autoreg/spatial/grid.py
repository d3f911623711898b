"""Voxel grids, and the only place that knows torch's normalised, reversed coordinates."""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=32)
def _cached_grid(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    axes = [torch.arange(n, device=device, dtype=dtype) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).unsqueeze(0)


def voxel_grid(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Voxel positions of a grid, shape (1, d, *s), in the dtype and on the device of `like`.

    The result is shared between calls: do not write to it.
    """
    return _cached_grid(tuple(shape), like.device, like.dtype)


def to_torch_grid(positions: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Voxel positions (b, d, *s) on a grid of `shape`, in the form (b, *s, d) of `grid_sample(align_corners=True)`.

    Voxel i of n becomes 2 i / (n - 1) - 1; the component order is reversed. An axis of one voxel has no
    extent for torch: every position along it reads that voxel.
    """
    normalised = [positions[:, axis] * (2 / max(n - 1, 1)) - 1 for axis, n in enumerate(shape)]
    return torch.stack(normalised[::-1], dim=-1)

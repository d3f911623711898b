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


@lru_cache(maxsize=128)
def _ramp(length: int, extent: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Voxels 0, 1, ... of an axis, normalised by the `extent` voxels of what is sampled."""
    return torch.arange(length, device=device, dtype=dtype) * (2 / max(extent - 1, 1)) - 1


def torch_grid(displacement: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Voxels moved by a displacement (b, d, *s), in the form (b, *s, d) of `grid_sample(align_corners=True)`.

    Voxel i of n becomes 2 i / (n - 1) - 1; the component order is reversed. An axis of one voxel has no
    extent for torch: every position along it reads that voxel. One pass a component, without a grid of positions.

    Args:
        shape: of what is sampled.
    """
    space = displacement.shape[2:]
    moved: list[Tensor] = []
    for axis, (component, n) in enumerate(zip(displacement.unbind(1), shape, strict=True)):
        ramp = _ramp(space[axis], n, displacement.device, displacement.dtype)
        along = ramp.view([-1 if other == axis else 1 for other in range(len(space))])
        moved.append(torch.add(along, component, alpha=2 / max(n - 1, 1)))
    return torch.stack(moved[::-1], dim=-1)

"""Random affine motion of one side of a training pair; the only module that knows kornia."""

from typing import Any

import torch
from kornia.geometry.transform import warp_affine, warp_affine3d
from torch import Tensor

from autoreg.shapes import Image, Labels, Mask

_DEGREES, _SCALE, _SHIFT = 10.0, 0.1, 3.0  # half widths of the ranges; the shift is in voxels


def random_affine(
    image: Image, foreground: Mask, labels: Labels | None = None, *, generator: torch.Generator
) -> tuple[Image, Mask, Labels | None]:
    """The three, moved by one random affine motion for each volume of the batch.

    Up to 10 degrees about each axis through the centre, 0.9 to 1.1 times the size, up to 3 voxels along each
    axis. The image is interpolated linearly, foreground and labels take the nearest voxel; what comes from
    outside is 0.

    Args:
        image: (b, c, *s).
        foreground: (b, 1, *s), any dtype.
        labels: (b, 1, *s), any dtype, or None.
        generator: on the CPU, so that the motion is the same for every device.
    """
    shape = image.shape[2:]
    matrices = torch.stack([_random_matrix(tuple(shape), generator) for _ in range(image.shape[0])])
    matrices = matrices.to(image)
    size: Any = tuple(shape)  # kornia asks for a pair or a triple, as the function has it

    def moved(values: Tensor, mode: str) -> Tensor:
        if len(shape) == 2:
            result = warp_affine(values.to(matrices), matrices, size, mode=mode)
        else:
            result = warp_affine3d(values.to(matrices), matrices, size, flags=mode)
        return result.to(values.dtype)

    return moved(image, "bilinear"), moved(foreground, "nearest"), None if labels is None else moved(labels, "nearest")


def _random_matrix(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """(d, d + 1), voxels of the moving to voxels of the moved image, in kornia's reversed axis order."""
    dims = len(shape)
    centre = (torch.tensor(shape[::-1], dtype=torch.float32) - 1) / 2
    linear = torch.eye(dims) * (1 + _SCALE * _uniform(1, generator))
    for first in range(dims):
        for second in range(first + 1, dims):
            linear = _rotation(dims, first, second, _DEGREES * _uniform(1, generator)) @ linear
    shift = centre - linear @ centre + _SHIFT * _uniform(dims, generator)
    return torch.cat([linear, shift.unsqueeze(1)], dim=1)


def _rotation(dims: int, first: int, second: int, degrees: Tensor) -> Tensor:
    angle = torch.deg2rad(degrees)
    rotation = torch.eye(dims)
    rotation[first, first] = rotation[second, second] = torch.cos(angle)
    rotation[first, second], rotation[second, first] = -torch.sin(angle), torch.sin(angle)
    return rotation


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    """Numbers from -1 to 1."""
    return 2 * torch.rand(count, generator=generator) - 1

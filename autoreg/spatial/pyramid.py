"""Halving and doubling of images and displacements; padding to a multiple and cropping back.

Voxel i of the half grid covers voxels 2i and 2i + 1 of the full one, so its centre is 2i + 1/2: mean
pooling and `align_corners=False` interpolation agree on that, and a displacement only needs scaling.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from autoreg.shapes import Displacement, Image

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def halve(image: Image, *, times: int = 1) -> Image:
    """Image on a grid 2^times coarser, by averaging; intensities keep their scale."""
    pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[image.ndim - 2]
    return pool(image, 2**times) if times else image


def resize_displacement(displacement: Displacement, shape: tuple[int, ...]) -> Displacement:
    """The same motion on a grid of another size: values resampled linearly and scaled per axis, in voxels."""
    old = displacement.shape[2:]
    if tuple(old) == tuple(shape):
        return displacement
    factors = [new / n for new, n in zip(shape, old, strict=True)]
    scale = torch.tensor(factors, dtype=displacement.dtype, device=displacement.device)
    resized = F.interpolate(displacement, size=tuple(shape), mode=_LINEAR[len(old)], align_corners=False)
    return resized * scale.view(1, -1, *[1] * len(old))


def resize_image(image: Image, shape: tuple[int, ...]) -> Image:
    """Linear resize of intensities or features; values are not scaled."""
    return F.interpolate(image, size=tuple(shape), mode=_LINEAR[image.ndim - 2], align_corners=False)


def pad_to_multiple(image: Tensor, multiple: int) -> tuple[Tensor, tuple[slice, ...]]:
    """Zero-padded image whose space sizes divide by `multiple`, and the slices that crop it back.

    Padding is split evenly between both ends (one more at the far end when odd).
    """
    pads: list[int] = []
    crop: list[slice] = []
    for n in image.shape[2:]:
        extra = -n % multiple
        before = extra // 2
        pads = [before, extra - before, *pads]
        crop.append(slice(before, before + n))
    padded = F.pad(image, pads) if any(pads) else image
    return padded, (slice(None), slice(None), *crop)

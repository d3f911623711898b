"""The one warp of AutoReg."""

from typing import Literal

import torch
import torch.nn.functional as F

from autoreg.shapes import Displacement, Image
from autoreg.spatial.grid import torch_grid


def warp(
    moving: Image,
    displacement: Displacement,
    *,
    mode: Literal["bilinear", "nearest"] = "bilinear",
    padding: Literal["zeros", "border"] = "zeros",
) -> Image:
    """Moving image seen on the fixed grid: warped(x) = moving(x + u(x)), in the dtype of `moving`.

    Args:
        moving: (b, c, *s) image, features, one-hot labels or a field; its grid may have another size.
        displacement: (b, d, *s) in voxels, components in axis order.
        mode: "bilinear" (trilinear in 3-D), or "nearest" for label numbers.
        padding: what lies outside the moving image: 0, or its border value.

    Raises:
        ValueError: if the number of components is not the number of space axes.
    """
    dims = displacement.ndim - 2
    if displacement.shape[1] != dims:
        raise ValueError(f"displacement: expected {dims} components, got shape {tuple(displacement.shape)}")
    # bfloat16 counts in steps of 2 voxels above 256: positions need float32 at least, also under autocast
    dtype = torch.promote_types(torch.promote_types(moving.dtype, displacement.dtype), torch.float32)
    grid = torch_grid(displacement.to(dtype), tuple(moving.shape[2:]))
    warped = F.grid_sample(moving.to(dtype), grid, mode=mode, padding_mode=padding, align_corners=True)
    return warped.to(moving.dtype)

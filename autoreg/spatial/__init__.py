"""Geometry on tensors: grids, the warp, composition and integration, Jacobians, pyramids."""

from autoreg.spatial.grid import voxel_grid
from autoreg.spatial.integrate import compose, integrate, invert
from autoreg.spatial.jacobian import corner_determinants, jacobian_determinant
from autoreg.spatial.pyramid import halve, pad_to_multiple, resize_displacement, resize_image
from autoreg.spatial.warp import warp

__all__ = [
    "compose",
    "corner_determinants",
    "halve",
    "integrate",
    "invert",
    "jacobian_determinant",
    "pad_to_multiple",
    "resize_displacement",
    "resize_image",
    "voxel_grid",
    "warp",
]

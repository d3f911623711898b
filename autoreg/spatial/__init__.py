"""Geometry on tensors: grids, the warp, composition, integration and inversion, Jacobians, pyramids."""

from autoreg.spatial.grid import voxel_grid
from autoreg.spatial.integrate import compose, integrate
from autoreg.spatial.inverse import invert, solve_positions
from autoreg.spatial.jacobian import (
    corner_determinants,
    corner_determinants_at,
    jacobian_determinant,
    slabs,
    triple_product,
)
from autoreg.spatial.pyramid import halve, pad_to_multiple, resize_displacement, resize_image
from autoreg.spatial.warp import warp
from autoreg.spatial.windows import window_mean

__all__ = [
    "compose",
    "corner_determinants",
    "corner_determinants_at",
    "halve",
    "integrate",
    "invert",
    "jacobian_determinant",
    "pad_to_multiple",
    "resize_displacement",
    "resize_image",
    "slabs",
    "solve_positions",
    "triple_product",
    "voxel_grid",
    "warp",
    "window_mean",
]

"""Where voxels lie in the world of ITK and of NIfTI, and their millimetre vectors as voxels of our grid."""

from typing import NamedTuple

import numpy as np

from autoreg.errors import DataError

_SKEW = 1e-3  # cosine between two axes; writing an affine as a quaternion costs less


class ItkGeometry(NamedTuple):
    """Grid of an ITK image in its world, LPS: the first two axes of NIfTI's RAS turned round."""

    origin: np.ndarray
    """(d,), mm, of the first voxel."""
    spacing: np.ndarray
    """(d,), mm."""
    direction: np.ndarray
    """(d, d), a column a voxel axis, each of length 1."""


def itk_geometry(affine: np.ndarray, dims: int) -> ItkGeometry:
    """The grid of a voxel-to-world matrix (4, 4), RAS+ mm; in 2-D its part within the world's first two axes.

    Raises:
        DataError: if the axes are not at right angles, which ITK cannot state.
    """
    linear = _lps(dims)[:, None] * affine[:dims, :dims]
    spacing = np.linalg.norm(linear, axis=0)
    direction = linear / np.where(spacing > 0, spacing, 1)
    skew = np.abs(direction.T @ direction - np.eye(dims)).max()
    if skew > _SKEW:
        raise DataError(f"affine: expected axes at right angles (in 2-D within the plane), got a cosine of {skew:.3g}")
    return ItkGeometry(_lps(dims) * affine[:dims, 3], spacing, direction)


def from_lps(vectors: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Vectors (*s, d) in mm of the LPS world, as ITK has them, as a displacement (d, *s) in voxels."""
    return from_ras(vectors * _lps(vectors.shape[-1]), affine)


def from_ras(vectors: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Vectors (*s, d) in mm of the RAS world, as NIfTI has them, as a displacement (d, *s) in voxels.

    Both images lie on the grid of `affine`, so only its linear part matters: A (x + u) - A x = v.
    """
    dims = vectors.shape[-1]
    voxels = np.asarray(vectors, np.float64) @ np.linalg.inv(affine[:dims, :dims]).T
    return np.moveaxis(voxels, -1, 0)


def from_normalised(positions: np.ndarray) -> np.ndarray:
    """Positions (*reversed s, d) of torch's grid_sample (align_corners) on images (k, j, i), as (d, *s) in voxels.

    Such arrays are ITK's: axes reversed. The last axis of positions then counts i, j, k already.
    """
    dims = positions.shape[-1]
    forward = np.moveaxis(positions, -1, 0).transpose(0, *reversed(range(1, dims + 1)))
    shape = forward.shape[1:]
    scale = (np.array(shape) - 1).reshape(-1, *[1] * dims) / 2
    return (forward.astype(np.float64) + 1) * scale - np.indices(shape)


def _lps(dims: int) -> np.ndarray:
    return np.array([-1.0, -1.0, 1.0])[:dims]

"""Distance of landmarks after registration."""

from collections.abc import Sequence

import numpy as np

from autoreg.shapes import Displacement


def tre_mm(
    fixed_points: np.ndarray,
    moving_points: np.ndarray,
    displacement: Displacement,
    spacing_or_affine: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """Target registration error of every landmark in millimetres, (n,).

    Points travel opposite to images: a fixed point p lies at p + u(p) in the moving image, where it is
    compared with the moving point. u between voxels is interpolated linearly, beyond the border repeated.

    Args:
        fixed_points: (n, d) voxel positions on the fixed grid.
        moving_points: (n, d) voxel positions on the moving grid.
        displacement: (1, d, *s) or (d, *s) in voxels.
        spacing_or_affine: voxel size of the moving grid in mm, (d,), or its voxel-to-world matrix,
            (d + 1, d + 1).

    Raises:
        ValueError: if the shapes do not fit together.
    """
    from scipy import ndimage  # the numerical core imports without scipy

    fixed, moving = np.asarray(fixed_points, dtype=float), np.asarray(moving_points, dtype=float)
    dims = fixed.shape[-1]
    field = displacement.detach().cpu().double().numpy().reshape(-1, *displacement.shape[-dims:])
    if fixed.ndim != 2 or fixed.shape != moving.shape or len(field) != dims:
        raise ValueError(
            f"tre_mm: expected points (n, d) and displacement (1, d, *s), got {fixed.shape}, {moving.shape} "
            f"and {tuple(displacement.shape)}"
        )
    at_points = [ndimage.map_coordinates(component, fixed.T, order=1, mode="nearest") for component in field]
    error = fixed + np.stack(at_points, axis=-1) - moving
    return np.linalg.norm(error @ _voxel_to_mm(spacing_or_affine, dims).T, axis=-1)


def _voxel_to_mm(spacing_or_affine: Sequence[float] | np.ndarray, dims: int) -> np.ndarray:
    given = np.asarray(spacing_or_affine, dtype=float)
    if given.shape == (dims,):
        return np.diag(given)
    if given.shape == (dims + 1, dims + 1):
        return given[:dims, :dims]
    raise ValueError(f"spacing_or_affine: expected shape ({dims},) or ({dims + 1}, {dims + 1}), got {given.shape}")

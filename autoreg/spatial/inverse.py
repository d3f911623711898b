"""Inversion of displacements."""

from typing import cast

import torch
from torch import Tensor

from autoreg.shapes import Displacement
from autoreg.spatial.grid import voxel_grid
from autoreg.spatial.warp import warp


def invert(displacement: Displacement, *, iterations: int = 50, tolerance: float = 1e-4) -> Displacement:
    """Inverse displacement w on the same grid, with x + w(x) + u(x + w(x)) = x; see `solve_positions`.

    For a stationary velocity, `integrate(-v)` is cheaper.
    """
    grid = voxel_grid(tuple(displacement.shape[2:]), displacement)
    targets = grid.expand_as(displacement)
    return solve_positions(displacement, targets, iterations=iterations, tolerance=tolerance) - grid


def solve_positions(
    displacement: Displacement, targets: Tensor, *, iterations: int = 50, tolerance: float = 1e-4
) -> Tensor:
    """Positions x with x + u(x) = y for targets y, both (b, d, *t) in voxels.

    Fixed-point iteration x <- x + J^-1(x) (y - x - u(x)) with J the Jacobian matrix of x + u(x), so Newton's, from
    the affine map closest to x + u(x): flips, scales and shifts between two grids are no obstacle. A step that
    does not help is halved. Where the map folds, or the target is never reached, x is the best position found.
    Beyond its grid, u is that affine map and the border's remainder.

    Args:
        displacement: (b, d, *s) in voxels.
        targets: (b, d, *t); any grid.
        iterations: most steps.
        tolerance: distance to the target, in voxels, at which all positions are good enough.

    Reference: Chen et al. 2008, doi:10.1118/1.2816107, iterates with J = 1, which needs gradients of u below 1.
    """
    matrix, offset = _closest_affine(displacement)
    grid = voxel_grid(tuple(displacement.shape[2:]), displacement)
    remainder = grid + displacement - _affine(matrix, grid) - offset
    inverse_jacobian = _inverse_jacobian(remainder, matrix)
    sampling = voxel_grid(tuple(targets.shape[2:]), targets)

    def missing(x: Tensor) -> Tensor:
        return targets - _affine(matrix, x) - offset - warp(remainder, x - sampling, padding="border")

    x = _affine(torch.pinverse(matrix), targets - offset)
    left = missing(x)
    step = torch.ones_like(left[:, :1])
    for _ in range(iterations):
        if _length(left).max() <= tolerance:
            break
        back = warp(inverse_jacobian, x - sampling, padding="border")
        trial = x + step * (back.view(-1, *[x.shape[1]] * 2, *x.shape[2:]) * left.unsqueeze(1)).sum(2)
        still = missing(trial)
        closer = _length(still) < _length(left)
        x, left = torch.where(closer, trial, x), torch.where(closer, still, left)
        step = torch.where(closer, (2 * step).clamp(max=1), step / 2)
    return x


def _inverse_jacobian(remainder: Displacement, matrix: Tensor) -> Tensor:
    """(b, d * d, *s), row by row: inverse of `matrix` plus the gradient of `remainder`; where singular, of `matrix`."""
    axes = [axis for axis in range(2, remainder.ndim) if remainder.shape[axis] > 1]
    jacobian = matrix.view(*matrix.shape, *[1] * (remainder.ndim - 2)).repeat(1, 1, 1, *remainder.shape[2:])
    for axis, slope in zip(axes, torch.gradient(remainder, dim=axes), strict=True):
        jacobian[:, :, axis - 2] += slope
    columns_last = jacobian.movedim((1, 2), (-2, -1))
    result = torch.linalg.inv_ex(columns_last)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    found, failed = cast("tuple[Tensor, Tensor]", result)
    everywhere = torch.pinverse(matrix).view(-1, *[1] * (remainder.ndim - 2), *matrix.shape[1:])
    found = torch.where((failed == 0)[..., None, None], found, everywhere)
    return found.movedim((-2, -1), (1, 2)).flatten(1, 2)


def _closest_affine(displacement: Displacement) -> tuple[Tensor, Tensor]:
    """Matrix (b, d, d) and offset (b, d, 1, ...) of the least-squares affine map for x + u(x)."""
    grid = voxel_grid(tuple(displacement.shape[2:]), displacement)
    space = tuple(range(2, grid.ndim))
    centre, mean = (field.mean(space, keepdim=True) for field in (grid, displacement))
    centred = (grid - centre).flatten(2)
    inertia = centred @ centred.mT  # singular for an axis of one voxel, along which u then counts as constant
    slope = (displacement.flatten(2) @ centred.mT) @ torch.pinverse(inertia)
    matrix = slope + torch.eye(grid.shape[1], dtype=grid.dtype, device=grid.device)
    return matrix, mean + centre - _affine(matrix, centre)


def _affine(matrix: Tensor, positions: Tensor) -> Tensor:
    """Matrices (b, d, d) times positions (b or 1, d, *s)."""
    return (matrix @ positions.flatten(2)).view(-1, *positions.shape[1:])


def _length(vectors: Tensor) -> Tensor:
    return vectors.square().sum(1, keepdim=True).sqrt()

"""How rough a displacement is, as differentiable terms: one value a sample, in voxel units."""

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

from autoreg.shapes import Displacement
from autoreg.spatial import corner_determinants, jacobian_determinant


def _in_full_precision(displacement: Displacement) -> Displacement:
    return displacement.to(torch.promote_types(displacement.dtype, torch.float32))


def _mean_square(values: Tensor) -> Tensor:
    return (values**2).flatten(1).mean(1)


def diffusion(displacement: Displacement) -> Tensor:
    """Mean squared forward difference over voxels, components and the d axes, (b,).

    In 3-D: (mean dx^2 + mean dy^2 + mean dz^2) / 3. A linear field u = Ax has sum(A^2) / d^2.
    """
    field = _in_full_precision(displacement)
    axes = range(2, field.ndim)
    return torch.stack([_mean_square(field.diff(dim=axis)) for axis in axes]).mean(0)


def bending(displacement: Displacement) -> Tensor:
    """Mean squared second difference over voxels, components and the d^2 entries of the Hessian, (b,).

    Mixed entries occur twice in the Hessian and count twice. Linear fields cost nothing.
    The integrand of Rueckert et al. 1999, doi:10.1109/42.796284, divided by d^3
    (d components, d^2 entries).
    """
    field = _in_full_precision(displacement)
    axes = range(2, field.ndim)
    pure = [_mean_square(field.diff(n=2, dim=axis)) for axis in axes]
    mixed = [2 * _mean_square(field.diff(dim=a).diff(dim=b)) for a, b in combinations(axes, 2)]
    return torch.stack(pure + mixed).sum(0) / len(axes) ** 2


def folding(displacement: Displacement, *, margin: float = 0.1) -> Tensor:
    """Mean over inner voxels and their 2^d corners of max(0, margin - J), (b,).

    J are the one-sided determinants of a digital diffeomorphism, 1 for no motion; nothing is paid where
    all exceed the margin.
    """
    corners = corner_determinants(_in_full_precision(displacement))
    return torch.relu(margin - corners).flatten(1).mean(1)


def log_jacobian_spread(displacement: Displacement, *, smallest: float = 0.01) -> Tensor:
    """Standard deviation of log J over inner voxels, J by central differences and at least `smallest`, (b,).

    The differentiable form of the figure SDlogJ.
    """
    logs = jacobian_determinant(_in_full_precision(displacement)).clamp(min=smallest).log().flatten(1)
    return (logs.var(1, correction=0) + 1e-12).sqrt() - 1e-6  # the root itself has no slope at 0


SMOOTHNESS: dict[str, Callable[..., Tensor]] = {
    "diffusion": diffusion,
    "bending": bending,
    "folding": folding,
    "volume_change": log_jacobian_spread,
}
"""Smoothness terms by name: (displacement, **settings) -> (b,)."""

"""How rough a displacement is, as differentiable terms: one value a sample, in voxel units."""

from collections.abc import Callable
from itertools import combinations
from math import prod

import torch
from torch import Tensor

from autoreg.shapes import Displacement
from autoreg.spatial import corner_determinants, corner_determinants_at, jacobian_determinant, slabs

_FEW = 0.1
"""Part of the voxels up to which folding is computed where it is paid alone: on a CPU faster than everywhere."""


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
    field = _in_full_precision(displacement)
    if field.device.type == "cpu" and min(field.shape[2:]) > 2:
        voxels = _below(field.detach(), margin)
        if len(voxels) < _FEW * field[:, 0].numel():
            return _folding_at(field, voxels, margin)
    return torch.relu(margin - corner_determinants(field)).flatten(1).mean(1)


def _below(field: Displacement, margin: float) -> Tensor:
    """Inner voxels with a corner below the margin, or that is no number, (n, 1 + d)."""
    return torch.cat([~(corner_determinants(slab) >= margin).all(1) for slab in slabs(field)], dim=1).nonzero()


def _folding_at(field: Displacement, voxels: Tensor, margin: float) -> Tensor:
    """`folding` where only these voxels pay; the others have neither a value nor a slope."""
    if not len(voxels):
        return 0 * field.flatten(1)[:, 0]
    paid = torch.relu(margin - corner_determinants_at(field, voxels)).sum(1)
    corners = prod(n - 2 for n in field.shape[2:]) * 2 ** (field.ndim - 2)
    return paid.new_zeros(len(field)).index_add(0, voxels[:, 0], paid) / corners


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

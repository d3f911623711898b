"""Jacobian determinants of phi(x) = x + u(x)."""

from itertools import product

import torch
from torch import Tensor

from autoreg.shapes import Displacement


def _determinant(columns: list[Tensor]) -> Tensor:
    """Determinant of 2 or 3 column vectors, each (b, d, *s) -> (b, *s)."""
    if len(columns) == 2:
        a, b = columns
        return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    a, b, c = columns
    return (
        a[:, 0] * (b[:, 1] * c[:, 2] - b[:, 2] * c[:, 1])
        - a[:, 1] * (b[:, 0] * c[:, 2] - b[:, 2] * c[:, 0])
        + a[:, 2] * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    )


def _unit(gradient: Tensor, axis: int) -> Tensor:
    unit = torch.zeros(gradient.shape[1], dtype=gradient.dtype, device=gradient.device)
    unit[axis] = 1.0
    return gradient + unit.view(1, -1, *[1] * (gradient.ndim - 2))


def jacobian_determinant(displacement: Displacement) -> Tensor:
    """det of d phi by central differences, (b, *s - 2): one voxel less on every side."""
    dims = displacement.ndim - 2
    inner = [slice(1, -1)] * dims
    columns: list[Tensor] = []
    for axis in range(dims):
        ahead, behind = list(inner), list(inner)
        ahead[axis], behind[axis] = slice(2, None), slice(None, -2)
        gradient = (displacement[(..., *ahead)] - displacement[(..., *behind)]) / 2
        columns.append(_unit(gradient, axis))
    return _determinant(columns)


def corner_determinants(displacement: Displacement) -> Tensor:
    """The 2^d one-sided determinants of every inner voxel, (b, 2^d, *s - 2).

    Each mixes forward and backward differences. All positive is necessary for a digital
    diffeomorphism. Reference: Liu et al., IJCV 2024, doi:10.1007/s11263-024-02047-1.
    """
    dims = displacement.ndim - 2
    inner = [slice(1, -1)] * dims
    centre = displacement[(..., *inner)]
    sided: list[tuple[Tensor, Tensor]] = []
    for axis in range(dims):
        ahead, behind = list(inner), list(inner)
        ahead[axis], behind[axis] = slice(2, None), slice(None, -2)
        forward = _unit(displacement[(..., *ahead)] - centre, axis)
        backward = _unit(centre - displacement[(..., *behind)], axis)
        sided.append((backward, forward))
    corners = product((0, 1), repeat=dims)
    return torch.stack([_determinant([sided[a][s] for a, s in enumerate(signs)]) for signs in corners], dim=1)

"""Jacobian determinants of phi(x) = x + u(x)."""

from collections.abc import Iterator
from itertools import product
from math import prod

import torch
from torch import Tensor

from autoreg.shapes import Displacement

_SLAB = 2**15
"""Voxels of a slab: what a determinant needs of it stays in a core's cache."""
Sided = tuple[Tensor, Tensor]
"""Derivative along an axis by the voxel behind, and by the voxel ahead: each (b, d, *s), a column of d phi."""


def jacobian_determinant(displacement: Displacement) -> Tensor:
    """det of d phi by central differences, (b, *s - 2): one voxel less on every side."""
    columns: list[Tensor] = []
    for axis, ahead, behind in _neighbours(displacement):
        columns.append(_unit((ahead - behind) / 2, axis))
    return _determinants([(column, column) for column in columns], [(0,) * len(columns)])[0]


def corner_determinants(displacement: Displacement) -> Tensor:
    """The 2^d one-sided determinants of every inner voxel, (b, 2^d, *s - 2).

    Each mixes forward and backward differences. All positive is necessary for a digital
    diffeomorphism. Reference: Liu et al., IJCV 2024, doi:10.1007/s11263-024-02047-1.
    """
    centre = displacement[(..., *[slice(1, -1)] * (displacement.ndim - 2))]
    return _corners(centre, list(_neighbours(displacement)))


def corner_determinants_at(displacement: Displacement, voxels: Tensor) -> Tensor:
    """The same at some inner voxels only, (n, 2^d).

    Args:
        voxels: (n, 1 + d) sample and position among the inner voxels, as `nonzero` of a mask (b, *s - 2) gives them.
    """
    shape = (len(displacement), *displacement.shape[2:])
    strides = [prod(shape[i + 1 :]) for i in range(len(shape))]  # rows to the next sample, then along each axis
    rows = displacement.movedim(1, -1).flatten(0, -2)
    place = sum((voxels[:, i] + (i > 0)) * stride for i, stride in enumerate(strides))
    assert isinstance(place, Tensor)
    around = [(axis, rows[place + step], rows[place - step]) for axis, step in enumerate(strides[1:])]
    return _corners(rows[place], around)


def slabs(displacement: Displacement) -> Iterator[Displacement]:
    """The field in overlapping pieces along its first axis, whose inner voxels together are its inner voxels."""
    inner = displacement.shape[2] - 2
    thick = max(_SLAB // max(displacement[0, 0, 0].numel(), 1), 1)
    for first in range(0, max(inner, 1), thick):
        yield displacement[:, :, first : first + thick + 2]


def _neighbours(displacement: Displacement) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Each axis with the field one voxel ahead and behind, at every inner voxel."""
    for axis in range(displacement.ndim - 2):
        ahead, behind = [slice(1, -1)] * (displacement.ndim - 2), [slice(1, -1)] * (displacement.ndim - 2)
        ahead[axis], behind[axis] = slice(2, None), slice(None, -2)
        yield axis, displacement[(..., *ahead)], displacement[(..., *behind)]


def _corners(centre: Tensor, around: list[tuple[int, Tensor, Tensor]]) -> Tensor:
    sided = [(_unit(centre - behind, axis), _unit(ahead - centre, axis)) for axis, ahead, behind in around]
    return torch.stack(_determinants(sided, list(product((0, 1), repeat=len(sided)))), dim=1)


def _determinants(sided: list[Sided], signs: list[tuple[int, ...]]) -> list[Tensor]:
    """Determinants of the matrices with the column of each axis taken from the side that a sign names."""
    if len(sided) == 2:
        a, b = sided
        return [a[s][:, 0] * b[t][:, 1] - a[s][:, 1] * b[t][:, 0] for s, t in signs]
    a, b, c = sided
    across = {(t, r): _cross(b[t], c[r]) for t, r in {(t, r) for _, t, r in signs}}  # half as many as determinants
    return [_dot(a[s], across[t, r]) for s, t, r in signs]


def triple_product(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Determinant of three columns, each (b, 3, *s): (b, *s)."""
    return _dot(a, _cross(b, c))


def _cross(a: Tensor, b: Tensor) -> list[Tensor]:
    """Components of a x b; by hand, several times faster than torch.linalg.cross along an axis that is not the last."""
    x, y, z = a.unbind(1)
    u, v, w = b.unbind(1)
    return [y * w - z * v, z * u - x * w, x * v - y * u]


def _dot(a: Tensor, components: list[Tensor]) -> Tensor:
    x, y, z = a.unbind(1)
    u, v, w = components
    return torch.addcmul(torch.addcmul(x * u, y, v), z, w)


def _unit(gradient: Tensor, axis: int) -> Tensor:
    """The gradient of u along an axis as a column of d phi: 1 is added to the axis' own component."""
    unit = torch.zeros(gradient.shape[1], dtype=gradient.dtype, device=gradient.device)
    unit[axis] = 1.0
    return gradient + unit.view(1, -1, *[1] * (gradient.ndim - 2))

"""Folding and volume change of a displacement: numbers for tables, no gradients.

Every function takes a displacement (1, d, *s) or (d, *s) in voxels and an optional mask of the grid's size
(any leading axes of 1), counts inner voxels only, and returns NaN if there is none to count.
"""

import torch
from torch import Tensor

from autoreg.shapes import Displacement
from autoreg.spatial import corner_determinants, jacobian_determinant, slabs, triple_product


def folded_voxels(displacement: Displacement) -> Tensor:
    """Inner voxels where the field is no digital diffeomorphism, (1, *s - 2).

    A voxel folds if one of its 2^d one-sided corner determinants, or in 3-D one of the two central
    tetrahedra at it, is not positive. Central differences miss alternating fields; this count does not.

    Reference: Liu et al., IJCV 2024, doi:10.1007/s11263-024-02047-1.
    """
    return torch.cat([_folded(slab) for slab in slabs(_one_field(displacement))], dim=1)


def folds_percent(displacement: Displacement, mask: Tensor | None = None) -> float:
    """Percent of inner voxels that are `folded_voxels`."""
    return _percent(folded_voxels(displacement), mask, _one_field(displacement))


def folds_percent_central(displacement: Displacement, mask: Tensor | None = None) -> float:
    """Percent of inner voxels whose central-difference determinant is not positive (the usual figure)."""
    field = _one_field(displacement)
    return _percent(jacobian_determinant(field) <= 0, mask, field)


def sdlogj(displacement: Displacement, mask: Tensor | None = None) -> float:
    """Standard deviation of log J over the inner voxels with J > 0, J by central differences."""
    field = _one_field(displacement)
    determinants = _inside(jacobian_determinant(field), mask, field)
    return _spread(determinants[determinants > 0].clamp(min=1e-9).log())


def sdlogj_learn2reg(displacement: Displacement, mask: Tensor | None = None) -> float:
    """The figure Learn2Reg calls SDlogJ: std of log(clip(J + 3, 1e-9, 1e9)), two voxels cropped at each side.

    J already contains the identity, so the 3 makes this 4 to 20 times smaller than `sdlogj`: use it for
    comparison with published tables only.

    Reference: Hering et al. 2023, doi:10.1109/TMI.2022.3213983, and the challenge's evaluation program.
    """
    field = _one_field(displacement)
    determinants = jacobian_determinant(field)[(..., *[slice(1, -1)] * field.shape[1])]
    return _spread((_inside(determinants, mask, field) + 3).clamp(1e-9, 1e9).log())


def _folded(field: Tensor) -> Tensor:
    folded = (corner_determinants(field) <= 0).any(1)
    if field.shape[1] == 3:
        folded |= (_central_tetrahedra(field) <= 0).any(1)
    return folded


def _one_field(displacement: Displacement) -> Tensor:
    """The displacement as (1, d, *s) in double precision: foldings are signs of small differences."""
    shape = displacement.shape
    if displacement.ndim == shape[0] + 1:
        displacement = displacement.unsqueeze(0)
    if displacement.shape[:2] != (1, displacement.ndim - 2) or displacement.ndim not in (4, 5):
        raise ValueError(f"displacement: expected (1, d, *s) or (d, *s) with d 2 or 3, got {tuple(shape)}")
    return displacement.detach().double()


def _inside(values: Tensor, mask: Tensor | None, field: Tensor) -> Tensor:
    """Values (1, *inner) at the masked voxels, flat; the mask is cropped evenly to the size of the values."""
    if mask is None:
        return values.flatten()
    size = field.shape[2:]
    crop = (size[0] - values.shape[1]) // 2
    inner = mask.to(values.device).reshape(size)[(slice(crop, -crop),) * len(size)]
    return values[0][inner > 0]


def _percent(folded: Tensor, mask: Tensor | None, field: Tensor) -> float:
    return 100 * _inside(folded, mask, field).double().mean().item()


def _spread(values: Tensor) -> float:
    return values.std(correction=0).item() if values.numel() else float("nan")


def _central_tetrahedra(field: Tensor) -> Tensor:
    """Determinants of the central tetrahedra of the cells behind and ahead of each inner voxel, (1, 2, *s - 2).

    A cell splits into five tetrahedra in two ways. The corner determinants are the four outer ones of each
    way; the central ones join x with x + (1, 1, 0), x + (0, 1, 1) and x + (1, 0, 1), or the same backwards.
    """
    centre = _shifted(field, (0, 0, 0))
    determinants = []
    for sign in (-1, 1):
        offsets = [(sign, sign, 0), (0, sign, sign), (sign, 0, sign)]
        a, b, c = (
            _shifted(field, offset) - centre + field.new_tensor(offset).view(1, 3, 1, 1, 1) for offset in offsets
        )
        # times the sign: three reversed edges reverse the orientation
        determinants.append(sign * triple_product(a, b, c))
    return torch.stack(determinants, dim=1)


def _shifted(field: Tensor, offset: tuple[int, int, int]) -> Tensor:
    """The field at x + offset for every inner voxel x."""
    inner = [slice(1 + o, n - 1 + o) for o, n in zip(offset, field.shape[2:], strict=True)]
    return field[(..., *inner)]

"""Folding and volume change: affine fields, a checkerboard, a pinched cell, and Learn2Reg's formula."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoreg.metrics import folds_percent, folds_percent_central, sdlogj, sdlogj_learn2reg
from autoreg.spatial import voxel_grid

METRICS = [folds_percent, folds_percent_central, sdlogj, sdlogj_learn2reg]


def axis_field(space: tuple[int, ...], values: torch.Tensor) -> torch.Tensor:
    """(1, d, *s) with `values`, given along the first axis, in the first component."""
    field = torch.zeros(1, len(space), *space)
    field[:, 0] = values.view(-1, *[1] * (len(space) - 1))
    return field


@pytest.mark.parametrize("space", [(8, 9), (8, 9, 7)])
@pytest.mark.parametrize(("slope", "percent"), [(0.0, 0.0), (-0.99, 0.0), (0.5, 0.0), (-1.0, 100.0), (-2.0, 100.0)])
def test_affine_fields_fold_everywhere_or_nowhere(space: tuple[int, ...], slope: float, percent: float) -> None:
    field = axis_field(space, slope * torch.arange(8.0).double())
    assert folds_percent(field) == folds_percent_central(field) == percent


@pytest.mark.parametrize("space", [(8, 9), (8, 9, 7)])
def test_only_the_digital_count_sees_a_checkerboard(space: tuple[int, ...]) -> None:
    field = torch.zeros(1, len(space), *space)
    field[:, 0] = 0.8 * (2 * (voxel_grid(space, field).sum(1) % 2) - 1)
    assert folds_percent_central(field) == 0
    assert folds_percent(field) == 100


@pytest.mark.parametrize(("folded_cell", "percent"), [(2, 50.0), (4, 25.0), (0, 25.0)])
def test_one_folded_cell_counts_at_its_inner_ends(folded_cell: int, percent: float) -> None:
    slopes = torch.zeros(5)
    slopes[folded_cell] = -1.5  # J = -1/2 between voxels folded_cell and folded_cell + 1
    field = axis_field((6, 5), torch.cat([torch.zeros(1), slopes.cumsum(0)]))
    assert folds_percent(field) == percent  # of the 4 inner voxels 1..4


def test_central_tetrahedra_find_what_all_corners_miss() -> None:
    """Random fields around the limit: the count equals plain loops, and some voxels fold in a tetrahedron only."""
    generator = torch.Generator().manual_seed(0)
    only_tetrahedra = 0
    for _ in range(60):
        field = 1.1 * torch.rand(1, 3, 4, 4, 4, dtype=torch.float64, generator=generator) - 0.55
        folded, by_corners = folded_voxels(field), folded_voxels(field, tetrahedra=False)
        assert folds_percent(field) == pytest.approx(100 * folded.mean())
        only_tetrahedra += int((folded & ~by_corners).sum())
    assert only_tetrahedra > 0


def folded_voxels(field: torch.Tensor, *, tetrahedra: bool = True) -> np.ndarray:
    """The criterion by plain loops over inner voxels, with numpy's determinant of mapped vertices."""
    mapped = (voxel_grid((4, 4, 4), field) + field)[0].numpy()
    folded = np.zeros((2, 2, 2), dtype=bool)
    for x in np.ndindex(2, 2, 2):
        at = np.array(x) + 1
        for sides in np.ndindex(2, 2, 2):
            signs = 2 * np.array(sides) - 1
            folded[x] |= oriented_volume(mapped, at, np.diag(signs)) <= 0
        for sign in (1, -1) if tetrahedra else ():
            folded[x] |= oriented_volume(mapped, at, sign * np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]])) <= 0
    return folded


def oriented_volume(mapped: np.ndarray, at: np.ndarray, edges: np.ndarray) -> float:
    """Determinant of the mapped edges relative to that of the edges themselves."""
    images = [mapped[(slice(None), *(at + edge))] - mapped[(slice(None), *at)] for edge in edges]
    return float(np.linalg.det(np.stack(images)) / np.linalg.det(edges))


@pytest.mark.parametrize("space", [(9, 8), (9, 8, 7)])
def test_plain_sdlogj_by_hand(space: tuple[int, ...]) -> None:
    # slopes of central differences alternate in pairs: 7 inner planes with J = 1, 1, 3/2, 2, 2, 2, 2
    field = axis_field(space, torch.tensor([0.0, 0, 0, 0, 1, 2, 3, 4, 5]))
    logs = [0.0, 0.0, math.log(1.5), *[math.log(2)] * 4]
    assert sdlogj(field) == pytest.approx(np.std(logs))
    assert sdlogj(torch.zeros_like(field)) == 0


def test_plain_sdlogj_leaves_folded_voxels_out() -> None:
    field = axis_field((7, 5), torch.tensor([0.0, 0, 0, 0, -3, -6, -9]))  # J = 1, 1, -1/2, -2, -2
    assert sdlogj(field) == 0


def learn2reg_formula(field: np.ndarray) -> float:
    """Central differences by correlation, cropped by two: an independent writing of the challenge's figure."""
    kernel = np.array([-0.5, 0.0, 0.5])
    jacobian = np.stack(
        [[ndimage.correlate1d(c, kernel, axis=a, mode="constant") for a in range(len(field))] for c in field]
    )
    jacobian = np.moveaxis(jacobian, (0, 1), (-2, -1)) + np.eye(len(field))
    determinants = np.linalg.det(jacobian)[(slice(2, -2),) * len(field)]
    return float(np.std(np.log(np.clip(determinants + 3, 1e-9, 1e9))))


@pytest.mark.parametrize("space", [(9, 8), (9, 8, 7)])
@pytest.mark.parametrize("amplitude", [0.3, 3.0])
def test_learn2reg_figure_equals_its_formula(space: tuple[int, ...], amplitude: float) -> None:
    generator = torch.Generator().manual_seed(5)
    field = amplitude * torch.randn(1, len(space), *space, dtype=torch.float64, generator=generator)
    assert sdlogj_learn2reg(field) == pytest.approx(learn2reg_formula(field[0].numpy()), rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_leading_axis_is_optional_and_masks_select(metric: Callable[..., float]) -> None:
    generator = torch.Generator().manual_seed(2)
    field = 0.7 * torch.randn(1, 3, 9, 8, 7, generator=generator)
    whole = metric(field)
    assert isinstance(whole, float) and whole > 0
    assert metric(field[0]) == whole == metric(field, torch.ones(1, 1, 9, 8, 7))
    half = torch.ones(9, 8, 7, dtype=torch.bool)
    half[5:] = False
    # a mask of planes 0..4 equals the field cut after them, with the planes that its differences need
    kept = 7 if metric is sdlogj_learn2reg else 6
    assert metric(field, half) == pytest.approx(metric(field[:, :, :kept]))
    assert math.isnan(metric(field, torch.zeros(9, 8, 7)))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 5, 5), (1, 2, 5, 5, 5), (5, 5, 5), (1, 1, 5)])
def test_wrong_shapes_are_refused(metric: Callable[..., float], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="displacement: expected"):
        metric(torch.zeros(shape))

"""Target registration error by hand."""

import numpy as np
import pytest
import torch

from autoreg.metrics import tre_mm


def test_constant_motion_carries_points_into_the_moving_image() -> None:
    displacement = torch.tensor([2.0, 0.0, -1.0]).view(1, 3, 1, 1, 1).expand(1, 3, 8, 8, 8)
    fixed = np.array([[1.0, 2.0, 3.0], [4.5, 4.5, 4.5]])
    moving = fixed + np.array([2.0, 0.0, -1.0])
    np.testing.assert_allclose(tre_mm(fixed, moving, displacement, [1, 1, 1]), [0, 0], atol=1e-12)
    np.testing.assert_allclose(tre_mm(fixed, moving, -displacement, [1, 1, 1]), [20**0.5] * 2)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ([2.0, 3.0], [6.0, 4.0]),
        (np.diag([2.0, 3.0, 1.0]), [6.0, 4.0]),
        (np.array([[0.0, 3, 50], [2, 0, -9], [0, 0, 1]]), [6.0, 4.0]),
    ],
    ids=["spacing", "affine", "rotated affine"],
)
def test_distances_are_in_millimetres(measure: np.ndarray, expected: list[float]) -> None:
    fixed = np.array([[1.0, 1.0], [2.0, 2.0]])
    moving = np.array([[1.0, 3.0], [4.0, 2.0]])  # two voxels along axis 1, two along axis 0
    np.testing.assert_allclose(tre_mm(fixed, moving, torch.zeros(2, 5, 5), measure), expected)


@pytest.mark.parametrize(("point", "motion"), [(1.25, 2.5), (3.0, 6.0), (9.0, 8.0)])
def test_motion_is_interpolated_between_voxels_and_repeated_beyond(point: float, motion: float) -> None:
    displacement = torch.zeros(1, 2, 5, 4)
    displacement[:, 0] = 2 * torch.arange(5.0).view(5, 1)
    error = tre_mm(np.array([[point, 1.5]]), np.array([[point, 1.5]]), displacement, [1, 1])
    np.testing.assert_allclose(error, [motion])


@pytest.mark.parametrize(
    ("points", "other", "measure"),
    [((3, 3), (2, 3), (3,)), ((3, 2), (3, 2), (2,)), ((3, 3), (3, 3), (2,)), ((3, 3), (3, 3), (3, 3))],
)
def test_wrong_shapes_are_refused(points: tuple[int, ...], other: tuple[int, ...], measure: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        tre_mm(np.ones(points), np.ones(other), torch.zeros(1, 3, 4, 4, 4), np.ones(measure))

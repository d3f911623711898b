import numpy as np
import pytest

from autoreg.errors import InputError
from autoreg.intake.grid import common_grid


def head(shape: tuple[int, ...], first: int, last: int) -> np.ndarray:
    image = np.zeros(shape)
    image[(slice(first, last + 1),) * len(shape)] = 5
    return image


def test_the_foreground_and_a_tenth_in_multiples_of_16() -> None:
    grid = common_grid(head((60, 60, 60), 10, 49), np.eye(4), spacing=None, shape=None)  # 40 voxels, with margin 44
    assert grid.shape == (48, 48, 48)
    np.testing.assert_allclose(grid.affine[:3, 3], 6)  # 29.5 - 23.5
    np.testing.assert_allclose(grid.affine[:3, :3], np.eye(3))


def test_spacing_and_shape_by_axis() -> None:
    grid = common_grid(head((60, 60, 60), 10, 49), np.eye(4), spacing=(2.0, 1.0, 1.5), shape=(20, 50, 33))
    assert grid.shape == (20, 50, 33)
    np.testing.assert_allclose(np.diag(grid.affine)[:3], [2.0, 1.0, 1.5])
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    np.testing.assert_allclose(middle, 29.5, atol=0.51)


def test_axes_of_the_reference_run_right_front_and_up() -> None:
    stored = np.array([[0, 0, -2.0, 9], [0, -1.0, 0, 8], [1.5, 0, 0, 7], [0, 0, 0, 1]])
    grid = common_grid(head((30, 30, 30), 5, 24), stored, spacing=None, shape=None)
    np.testing.assert_allclose(grid.affine[:3, :3], np.diag([2.0, 1.0, 1.5]), atol=1e-12)
    centre = stored @ [14.5, 14.5, 14.5, 1]
    assert np.abs(grid.to_world((np.array(grid.shape) - 1) / 2) - centre[:3]).max() <= 1.0


def test_slices_keep_their_axes() -> None:
    swapped = np.array([[0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    grid = common_grid(head((40, 40), 5, 24), swapped, spacing=(1.0,), shape=(32,))
    assert grid.shape == (32, 32)
    np.testing.assert_allclose(grid.affine[:3, :2], swapped[:3, :2])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"spacing": (1.0, 2.0), "shape": None}, "--spacing: expected one number or 3, above 0, got 1,2"),
        ({"spacing": None, "shape": (-8,)}, "--shape: expected one number or 3, above 0, got -8"),
    ],
)
def test_numbers_that_are_no_grid(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        common_grid(head((20, 20, 20), 5, 14), np.eye(4), **given)

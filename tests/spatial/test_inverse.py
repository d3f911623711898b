"""Inversion against closed forms, and by composition where there is none."""

import pytest
import torch
from problems import linear_field, middle, small_matrix, smooth_velocity

from autoreg.spatial import compose, integrate, invert, jacobian_determinant, solve_positions, voxel_grid

SPACES = [(24, 26), (18, 20, 22)]


@pytest.mark.parametrize("space", SPACES)
def test_inverse_of_a_linear_map(space: tuple[int, ...]) -> None:
    eye = torch.eye(len(space), dtype=torch.float64)
    matrix = small_matrix(len(space))
    expected = linear_field(space, torch.linalg.inv(eye + matrix) - eye)
    torch.testing.assert_close(invert(linear_field(space, matrix)), expected, rtol=0, atol=1e-9)


def test_inverse_of_a_smooth_field_undoes_it() -> None:
    displacement = smooth_velocity(SPACES[1], 1.0)
    inverse = invert(displacement, tolerance=1e-9)
    assert inverse.abs().max() > 0.5
    assert compose(displacement, inverse).abs().max() < 1e-8
    assert middle(compose(inverse, displacement)).abs().max() < 0.05  # interpolation of the inverse


def test_inverse_of_an_exponential_is_the_exponential_of_minus_v() -> None:
    velocity = smooth_velocity(SPACES[1], 1.0)
    torch.testing.assert_close(middle(invert(integrate(velocity))), middle(integrate(-velocity)), rtol=0, atol=1e-2)


@pytest.mark.parametrize("amplitude", [6.0, 10.0])
def test_a_field_that_does_not_contract_is_inverted_too(amplitude: float) -> None:
    """The plain iteration w <- -u(x + w) goes wrong here: u grows faster than position."""
    displacement = integrate(smooth_velocity(SPACES[0], amplitude))
    gradient = torch.stack(torch.gradient(displacement, dim=(2, 3)))
    assert gradient.abs().max() > 1 and jacobian_determinant(displacement).min() > 0
    assert compose(displacement, invert(displacement)).abs().max() < 1e-3


def test_each_of_a_batch_has_its_own_inverse() -> None:
    one, other = (smooth_velocity(SPACES[0], amplitude) for amplitude in (0.5, -1.0))
    both = invert(torch.cat([one, other]))
    torch.testing.assert_close(both, torch.cat([invert(one), invert(other)]), rtol=0, atol=1e-3)


def test_positions_between_grids_that_are_flipped_and_scaled() -> None:
    """From a grid of (12, 14) into one of half the spacing whose first axis runs the other way."""
    grid = voxel_grid((12, 14), torch.zeros(1, dtype=torch.float64))
    bend = 0.3 * torch.sin(grid.flip(1) / 3)
    reached = torch.stack([22 - 2 * grid[:, 0], 2 * grid[:, 1]], dim=1) + bend
    found = solve_positions(reached - grid, reached, tolerance=1e-9)
    torch.testing.assert_close(found, grid, rtol=0, atol=1e-8)


def test_positions_on_a_finer_grid_than_the_displacements() -> None:
    grid, finer = (voxel_grid(shape, torch.zeros(1, dtype=torch.float64)) for shape in ((12, 14), (23, 27)))
    reached = torch.stack([22 - 2 * grid[:, 0], 2 * grid[:, 1]], dim=1)
    expected = torch.stack([11 - finer[:, 0] / 2, finer[:, 1] / 2], dim=1)
    torch.testing.assert_close(solve_positions(reached - grid, finer), expected, rtol=0, atol=1e-9)


def test_an_axis_of_one_voxel_stays() -> None:
    displacement = torch.zeros(1, 3, 1, 8, 9)
    displacement[:, 1] = 0.5
    torch.testing.assert_close(invert(displacement), -displacement)

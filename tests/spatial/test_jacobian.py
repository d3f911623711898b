"""Jacobian determinants: affine fields by hand, and the field that fools central differences."""

import pytest
import torch

from autoreg.spatial import corner_determinants, jacobian_determinant, voxel_grid

MATRICES = {
    "still": [[0.0, 0.0], [0.0, 0.0]],
    "stretch": [[0.5, 0.0], [0.0, 0.0]],
    "shear": [[0.0, 0.8], [0.0, 0.0]],
    "fold": [[-2.0, 0.0], [0.0, 0.0]],
    "still 3-D": [[0.0] * 3] * 3,
    "general 3-D": [[0.1, 0.2, -0.1], [0.0, -0.2, 0.3], [0.4, 0.1, 0.2]],
    "mirror 3-D": [[0.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 0.0]],
}


@pytest.mark.parametrize("rows", MATRICES.values(), ids=MATRICES)
def test_affine_fields_have_the_determinant_of_their_matrix(rows: list[list[float]]) -> None:
    matrix = torch.tensor(rows, dtype=torch.float64)
    dims = len(rows)
    space = (5, 6, 7)[:dims]
    field = torch.einsum("ac,bc...->ba...", matrix, voxel_grid(space, matrix))
    expected = torch.linalg.det(torch.eye(dims, dtype=torch.float64) + matrix).item()
    inner = tuple(n - 2 for n in space)
    torch.testing.assert_close(jacobian_determinant(field), torch.full((1, *inner), expected).double())
    torch.testing.assert_close(corner_determinants(field), torch.full((1, 2**dims, *inner), expected).double())


@pytest.mark.parametrize("space", [(6, 6), (6, 6, 6)])
def test_checkerboard_fools_central_differences_only(space: tuple[int, ...]) -> None:
    parity = voxel_grid(space, torch.zeros(1)).sum(1, keepdim=True) % 2
    field = torch.zeros(1, len(space), *space)
    field[:, :1] = 0.8 * (2 * parity - 1)
    torch.testing.assert_close(jacobian_determinant(field), torch.ones(1, *[n - 2 for n in space]))
    # one-sided differences along the first axis are +-1.6, so half of the corners have 1 - 1.6
    corners = corner_determinants(field)
    assert corners.min() == pytest.approx(-0.6, abs=1e-5)
    assert ((corners < 0).float().mean(1) == 0.5).all()


def test_corner_takes_its_own_side_of_a_kink() -> None:
    position = torch.arange(5.0)
    field = torch.zeros(1, 2, 5, 3)
    field[:, 0] = (0.5 * (position - 2).clamp(min=0)).view(1, 5, 1)  # slope 0 before voxel 2, 1/2 after it
    at_kink = corner_determinants(field)[0, :, 1, 0]
    assert at_kink.tolist() == [1.0, 1.0, 1.5, 1.5]
    assert jacobian_determinant(field)[0, 1, 0].item() == 1.25

"""Composition, integration and inversion against closed forms."""

import pytest
import torch

from autoreg.spatial import compose, integrate, invert, jacobian_determinant, voxel_grid

SPACES = [(24, 26), (18, 20, 22)]


def linear_field(space: tuple[int, ...], matrix: torch.Tensor) -> torch.Tensor:
    """u(x) = A (x - centre)."""
    centre = torch.tensor([(n - 1) / 2 for n in space], dtype=torch.float64)
    grid = voxel_grid(space, matrix) - centre.view(1, -1, *[1] * len(space))
    return torch.einsum("ac,bc...->ba...", matrix, grid)


def small_matrix(dims: int) -> torch.Tensor:
    return 0.1 * torch.randn(dims, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(dims))


def smooth_velocity(space: tuple[int, ...], amplitude: float) -> torch.Tensor:
    """Components that vanish at the border, so that nothing leaves the volume."""
    grid = voxel_grid(space, torch.zeros(1, dtype=torch.float64))
    scaled = [torch.pi * grid[:, a] / (n - 1) for a, n in enumerate(space)]
    bump = torch.stack([s.sin() for s in scaled]).prod(0)
    return amplitude * torch.stack([bump * (s + a).cos() for a, s in enumerate(scaled)], dim=1)


def middle(field: torch.Tensor) -> torch.Tensor:
    return field[(..., *[slice(n // 3, -(n // 3)) for n in field.shape[2:]])]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_constant_velocity_is_its_own_exponential(space: tuple[int, ...], steps: int) -> None:
    velocity = torch.full((2, len(space), *space), 1.25, dtype=torch.float64)
    torch.testing.assert_close(integrate(velocity, steps=steps), velocity)


@pytest.mark.parametrize("space", SPACES)
def test_linear_velocity_gives_the_matrix_exponential(space: tuple[int, ...]) -> None:
    matrix = small_matrix(len(space))
    expected = torch.linalg.matrix_exp(matrix)
    displacement = integrate(linear_field(space, matrix), steps=12)
    eye = torch.eye(len(space), dtype=torch.float64)
    torch.testing.assert_close(middle(displacement), middle(linear_field(space, expected - eye)), rtol=0, atol=2e-3)
    determinants = middle(jacobian_determinant(displacement).unsqueeze(1))
    constant = torch.full_like(determinants, matrix.trace().exp().item())
    torch.testing.assert_close(determinants, constant, rtol=1e-3, atol=0)


@pytest.mark.parametrize("space", SPACES)
def test_forward_and_backward_exponentials_cancel(space: tuple[int, ...]) -> None:
    velocity = smooth_velocity(space, 0.8)
    forward, backward = integrate(velocity), integrate(-velocity)
    assert middle(forward).abs().max() > 0.4
    assert middle(compose(forward, backward)).abs().max() < 1e-2


def test_half_precision_velocity_is_integrated_in_float32() -> None:
    velocity = smooth_velocity(SPACES[0], 2.0).to(torch.bfloat16)
    displacement = integrate(velocity)
    assert displacement.dtype == torch.float32
    torch.testing.assert_close(displacement, integrate(velocity.double()).float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_composition_of_linear_maps_multiplies_them(space: tuple[int, ...]) -> None:
    eye = torch.eye(len(space), dtype=torch.float64)
    outer, inner = small_matrix(len(space)), small_matrix(len(space)).T - 0.02 * eye
    product = (eye + outer) @ (eye + inner) - eye
    composed = compose(linear_field(space, outer), linear_field(space, inner))
    torch.testing.assert_close(middle(composed), middle(linear_field(space, product)))
    swapped = (eye + inner) @ (eye + outer) - eye
    assert (middle(composed) - middle(linear_field(space, swapped))).abs().max() > 1e-3


@pytest.mark.parametrize("space", SPACES)
def test_inverse_of_a_linear_map(space: tuple[int, ...]) -> None:
    eye = torch.eye(len(space), dtype=torch.float64)
    matrix = small_matrix(len(space))
    expected = linear_field(space, torch.linalg.inv(eye + matrix) - eye)
    torch.testing.assert_close(middle(invert(linear_field(space, matrix))), middle(expected), rtol=0, atol=1e-9)


def test_inverse_of_a_smooth_field_undoes_it() -> None:
    displacement = smooth_velocity(SPACES[1], 1.0)
    assert compose(displacement, invert(displacement)).abs().max() < 1e-9

"""Composition and integration against closed forms."""

import pytest
import torch
from problems import linear_field, middle, small_matrix, smooth_velocity

from autoreg.spatial import compose, integrate, jacobian_determinant

SPACES = [(24, 26), (18, 20, 22)]


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

"""Smoothness terms on linear and quadratic fields, whose values are known by hand."""

import pytest
import torch

from autoreg.losses import SMOOTHNESS, bending, diffusion, folding, log_jacobian_spread
from autoreg.metrics import sdlogj
from autoreg.spatial import corner_determinants, voxel_grid

SPACES = [(6, 7), (5, 6, 7)]


def field_of(space: tuple[int, ...], component: int, values: torch.Tensor) -> torch.Tensor:
    """A field with `values` in one component and 0 in the others."""
    field = torch.zeros(1, len(space), *space, dtype=torch.float64)
    field[:, component] = values
    return field


@pytest.mark.parametrize("name", sorted(SMOOTHNESS))
@pytest.mark.parametrize("space", SPACES)
def test_constant_motion_costs_nothing(name: str, space: tuple[int, ...]) -> None:
    values = SMOOTHNESS[name](torch.full((2, len(space), *space), 3.0))
    assert values.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("space", SPACES)
def test_linear_field(space: tuple[int, ...]) -> None:
    dims = len(space)
    matrix = torch.randn(dims, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    field = torch.einsum("ac,bc...->ba...", matrix, voxel_grid(space, matrix))
    assert diffusion(field).item() == pytest.approx((matrix**2).sum().item() / dims**2)
    assert bending(field).item() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("component", [0, 1])
def test_quadratic_fields_have_known_bending(space: tuple[int, ...], component: int) -> None:
    grid = voxel_grid(space, torch.zeros(1, dtype=torch.float64))[0]
    dims = len(space)
    pure = field_of(space, component, 1.5 * grid[0] ** 2)  # second derivative 3 in one entry of one component
    mixed = field_of(space, component, 2.0 * grid[0] * grid[1])  # 2 in two entries of one component
    assert bending(pure).item() == pytest.approx(9 / dims**3)
    assert bending(mixed).item() == pytest.approx(2 * 4 / dims**3)
    assert bending(pure + mixed).item() == pytest.approx((9 + 8) / dims**3)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    ("slope", "margin", "value"), [(-0.5, 0.1, 0.0), (-0.95, 0.1, 0.05), (-2.0, 0.1, 1.1), (-0.5, 0.75, 0.25)]
)
def test_folding_pays_below_the_margin(space: tuple[int, ...], slope: float, margin: float, value: float) -> None:
    grid = voxel_grid(space, torch.zeros(1, dtype=torch.float64))[0]
    squeezed = field_of(space, 1, slope * grid[1])  # J = 1 + slope everywhere
    assert folding(squeezed, margin=margin).item() == pytest.approx(value, abs=1e-12)


def test_folding_sees_the_checkerboard() -> None:
    grid = voxel_grid((6, 6), torch.zeros(1))[0]
    field = field_of((6, 6), 0, 0.8 * (2 * (grid.sum(0) % 2) - 1))
    assert folding(field).item() == pytest.approx(0.7 / 2, rel=1e-5)  # half of the corners have J = 1 - 1.6


@pytest.mark.parametrize("name", sorted(SMOOTHNESS))
def test_every_sample_has_its_own_value(name: str) -> None:
    field = torch.randn(2, 3, 5, 4, 6, generator=torch.Generator().manual_seed(1))
    term = SMOOTHNESS[name]
    torch.testing.assert_close(term(field), torch.cat([term(field[:1]), term(field[1:])]))


@pytest.mark.parametrize("name", sorted(SMOOTHNESS))
@pytest.mark.parametrize("space", [(4, 5), (3, 3, 3)])
def test_derivatives_match_finite_differences(name: str, space: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    field = torch.randn(1, len(space), *space, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(SMOOTHNESS[name], field)
    assert torch.autograd.gradgradcheck(SMOOTHNESS[name], field)


@pytest.mark.parametrize("name", sorted(SMOOTHNESS))
def test_half_precision_is_raised(name: str) -> None:
    field = torch.rand(1, 2, 5, 5).bfloat16()
    value = SMOOTHNESS[name](field)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, SMOOTHNESS[name](field.float()))


@pytest.mark.parametrize("space", SPACES)
def test_spread_of_the_log_jacobian_is_the_figure_of_tables(space: tuple[int, ...]) -> None:
    field = 0.1 * torch.randn(1, len(space), *space, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert log_jacobian_spread(field).item() == pytest.approx(sdlogj(field), abs=2e-6)
    assert torch.autograd.gradcheck(log_jacobian_spread, (field.requires_grad_(),))


@pytest.mark.parametrize("space", [(17, 19), (40, 13, 14)])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.2, 0.6])
def test_folding_is_the_same_wherever_it_is_computed(space: tuple[int, ...], spread: float) -> None:
    """At no voxel, at a few of two samples, and everywhere: the plain mean over all corners, and its slope."""
    generator = torch.Generator().manual_seed(0)
    field = (spread * torch.randn(2, len(space), *space, generator=generator).double()).requires_grad_()
    plain = torch.relu(0.1 - corner_determinants(field)).flatten(1).mean(1)
    factors = torch.tensor([1.0, 3.0]).double()
    slopes = [torch.autograd.grad((factors * value).sum(), field)[0] for value in (plain, folding(field))]
    torch.testing.assert_close(folding(field), plain)
    torch.testing.assert_close(*slopes)


def test_folding_of_what_is_no_number_is_none() -> None:
    field = torch.zeros(1, 3, 12, 12, 12)
    field[0, 0, 6, 6, 6] = torch.nan
    assert folding(field).isnan().all()

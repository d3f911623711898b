"""The warp: shifts known by hand, borders, other grids, precision, derivatives."""

import pytest
import torch

from autoreg.spatial import voxel_grid, warp

SPACES = [(7, 9), (6, 7, 8)]


def constant_field(space: tuple[int, ...], shift: tuple[float, ...]) -> torch.Tensor:
    field = torch.tensor(shift, dtype=torch.float64).view(1, -1, *[1] * len(space))
    return field.expand(1, len(space), *space).contiguous()


def random_image(space: tuple[int, ...], channels: int = 2) -> torch.Tensor:
    return torch.rand(1, channels, *space, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("space", SPACES)
def test_grid_holds_its_own_indices(space: tuple[int, ...]) -> None:
    grid = voxel_grid(space, torch.zeros(1))
    last = tuple(n - 1 for n in space)
    assert grid.shape == (1, len(space), *space)
    assert grid[(0, slice(None), *last)].tolist() == list(last)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_no_motion_returns_the_image(space: tuple[int, ...], mode: str) -> None:
    image = random_image(space)
    still = torch.zeros(1, len(space), *space, dtype=torch.float64)
    torch.testing.assert_close(warp(image, still, mode=mode), image, rtol=0, atol=1e-12)  # pyright: ignore


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [-2, 1, 3])
def test_whole_voxel_shift_reads_from_x_plus_u(axis: int, shift: int) -> None:
    space = SPACES[1]
    image = random_image(space)
    warped = warp(image, constant_field(space, tuple(shift if a == axis else 0 for a in range(3))))
    n = space[axis]
    here = torch.arange(max(0, -shift), n - max(0, shift))
    outside = [i for i in range(n) if not 0 <= i + shift < n]
    expected = image.index_select(axis + 2, here + shift)
    torch.testing.assert_close(warped.index_select(axis + 2, here), expected, rtol=0, atol=1e-12)
    assert warped.index_select(axis + 2, torch.tensor(outside)).abs().max() < 1e-12


def test_border_padding_repeats_the_last_voxel() -> None:
    image = torch.arange(5.0).view(1, 1, 5, 1).expand(1, 1, 5, 3).contiguous()
    warped = warp(image, constant_field((5, 3), (2.0, 0.0)).float(), padding="border")
    torch.testing.assert_close(warped[0, 0, :, 0], torch.tensor([2.0, 3.0, 4.0, 4.0, 4.0]))


def test_half_voxel_shift_averages_neighbours() -> None:
    image = torch.tensor([0.0, 1.0, 4.0, 9.0]).view(1, 1, 1, 4).expand(1, 1, 2, 4).contiguous()
    warped = warp(image, constant_field((2, 4), (0.0, 0.5)).float())
    torch.testing.assert_close(warped[0, 0, 0, :3], torch.tensor([0.5, 2.5, 6.5]))


def test_moving_grid_of_another_size_is_read_in_its_own_voxels() -> None:
    ramp = torch.arange(9.0).view(1, 1, 9, 1).expand(1, 1, 9, 5).contiguous()
    warped = warp(ramp, constant_field((4, 3), (1.0, 0.0)).float())
    torch.testing.assert_close(warped[0, 0, :, 0], torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_axis_of_one_voxel_reads_that_voxel() -> None:
    image = torch.full((1, 1, 1, 4), 5.0)
    torch.testing.assert_close(warp(image, torch.zeros(1, 2, 1, 4)), image)


def test_label_numbers_survive_nearest() -> None:
    labels = torch.tensor([0, 7, 300, 2]).view(1, 1, 4, 1).expand(1, 1, 4, 2).contiguous()
    warped = warp(labels, constant_field((4, 2), (0.9, 0.0)), mode="nearest")
    assert warped[0, 0, :, 0].tolist() == [7, 300, 2, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bfloat16_motion_keeps_exact_positions(dtype: torch.dtype) -> None:
    stripes = (torch.arange(400) % 2).to(dtype).view(1, 1, 400, 1).expand(1, 1, 400, 2).contiguous()
    warped = warp(stripes, torch.ones(1, 2, 400, 2, dtype=torch.bfloat16), padding="border")
    assert warped.dtype == dtype
    torch.testing.assert_close(warped[:, :, :-1], stripes[:, :, 1:], rtol=0, atol=1e-3)


def test_grid_made_without_gradients_serves_later_gradients() -> None:
    with torch.inference_mode():
        voxel_grid((5, 11), torch.zeros(1))
    field = torch.full((1, 2, 5, 11), 0.3, requires_grad=True)
    warp(random_image((5, 11)).float(), field).sum().backward()
    assert field.grad is not None and field.grad.abs().sum() > 0


def test_wrong_number_of_components_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 3 components"):
        warp(random_image((4, 4, 4)), torch.zeros(1, 2, 4, 4, 4))


@pytest.mark.parametrize("space", [(4, 3), (3, 4, 3)])
def test_derivatives_off_the_lattice(space: tuple[int, ...]) -> None:
    image = random_image(space, channels=1).requires_grad_()
    wobble = torch.rand(1, len(space), *space, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    field = (0.25 + 0.3 * wobble).requires_grad_()  # between voxels, where the interpolation has no kink

    def warped(moving: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
        return warp(moving, motion, padding="border")

    assert torch.autograd.gradcheck(warped, (image, field))
    assert torch.autograd.gradgradcheck(warped, (image, field))

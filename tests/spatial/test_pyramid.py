"""Halving, resizing and padding: one convention, voxel i of the half grid at 2 i + 1/2."""

import pytest
import torch

from autoreg.spatial import halve, pad_to_multiple, resize_displacement, resize_image, voxel_grid, warp

SPACES = [(8, 12), (8, 12, 16)]


def ramp(space: tuple[int, ...], *, slope: float = 1.0, offset: float = 0.0) -> torch.Tensor:
    return slope * voxel_grid(space, torch.zeros(1, dtype=torch.float64)) + offset


def inner(values: torch.Tensor, margin: int = 1) -> torch.Tensor:
    return values[(..., *[slice(margin, -margin)] * (values.ndim - 2))]


def halved(space: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n // 2 for n in space)


@pytest.mark.parametrize("space", SPACES)
def test_half_grid_voxel_lies_between_its_two(space: tuple[int, ...]) -> None:
    torch.testing.assert_close(halve(ramp(space)), ramp(halved(space), slope=2, offset=0.5))
    torch.testing.assert_close(halve(ramp(space), times=2), ramp(halved(halved(space)), slope=4, offset=1.5))
    assert torch.equal(halve(ramp(space), times=0), ramp(space))


@pytest.mark.parametrize("space", SPACES)
def test_resizing_back_puts_positions_back(space: tuple[int, ...]) -> None:
    restored = resize_image(halve(ramp(space)), space)
    torch.testing.assert_close(inner(restored), inner(ramp(space)))


@pytest.mark.parametrize("space", SPACES)
def test_linear_motion_is_the_same_on_both_grids(space: tuple[int, ...]) -> None:
    full = ramp(space, slope=0.25, offset=1.0)
    # at the half-grid voxel y the full position is 2 y + 1/2, and full voxels are worth half a voxel there
    half = ramp(halved(space), slope=0.25, offset=(1.0 + 0.25 * 0.5) / 2)
    torch.testing.assert_close(inner(resize_displacement(full, halved(space))), inner(half))
    torch.testing.assert_close(inner(resize_displacement(half, space)), inner(full))
    assert resize_displacement(full, space) is full


@pytest.mark.parametrize("space", SPACES)
def test_halving_commutes_with_warping(space: tuple[int, ...]) -> None:
    shift = torch.full((1, len(space), *space), 2.0, dtype=torch.float64)
    then_halve = halve(warp(ramp(space), shift))
    then_warp = warp(halve(ramp(space)), resize_displacement(shift, halved(space)))
    torch.testing.assert_close(inner(then_halve), inner(then_warp))


def test_each_axis_has_its_own_scale() -> None:
    resized = resize_displacement(torch.ones(1, 2, 4, 6), (8, 9))
    assert resized[0, :, 0, 0].tolist() == [2.0, 1.5]


@pytest.mark.parametrize(
    ("space", "multiple", "padded_space"),
    [((5, 8), 4, (8, 8)), ((7, 9, 16), 8, (8, 16, 16)), ((4, 4), 2, (4, 4)), ((3, 3, 3), 1, (3, 3, 3))],
)
def test_padding_crops_back(space: tuple[int, ...], multiple: int, padded_space: tuple[int, ...]) -> None:
    image = torch.rand(2, 3, *space) + 1
    padded, crop = pad_to_multiple(image, multiple)
    assert padded.shape[2:] == padded_space
    assert torch.equal(padded[crop], image)
    assert padded.sum() == pytest.approx(image.sum().item(), rel=1e-6)


def test_padding_is_split_between_both_ends() -> None:
    padded, _ = pad_to_multiple(torch.ones(1, 1, 5, 4), 8)
    assert padded[0, 0, :, 2].tolist() == [0, 1, 1, 1, 1, 1, 0, 0]
    assert padded[0, 0, 2].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]

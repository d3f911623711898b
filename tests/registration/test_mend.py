"""A field is smoothed where it folds, and only there."""

import pytest
import torch

from autoreg.metrics import folded_voxels, folds_percent
from autoreg.registration.mend import mended, near


def rough(*space: int) -> torch.Tensor:
    """Gentle waves, with noise that folds in one corner."""
    generator = torch.Generator().manual_seed(0)
    field = 0.2 * torch.sin(torch.arange(space[-1]).float()).expand(1, len(space), *space).clone()
    corner = (..., *[slice(3, 7)] * len(space))
    field[corner] += 2 * torch.rand(field[corner].shape, generator=generator)
    return field


@pytest.mark.parametrize("space", [(24, 26), (16, 18, 17)])
def test_folds_go_and_the_rest_stays(space: tuple[int, ...]) -> None:
    field = rough(*space)
    assert folds_percent(field) > 0
    sound = mended(field)
    assert folds_percent(sound) == 0
    far = (..., *[slice(-6, None)] * len(space))
    assert torch.equal(sound[far], field[far])


def test_a_sound_field_comes_back_itself() -> None:
    field = 0.1 * torch.ones(1, 3, 6, 6, 6)
    assert mended(field) is field


def test_near_is_one_at_a_fold_and_its_neighbours_and_zero_far_away() -> None:
    folded = torch.zeros(1, 18, 18, dtype=torch.bool)
    folded[0, 9, 9] = True
    weights = near(folded, torch.zeros(1, 2, 20, 20))
    assert weights.shape == (1, 1, 20, 20)
    assert (weights[0, 0, 9:12, 9:12] == 1).all()
    assert weights[0, 0, 14:].max() == weights[0, 0, :7].max() == 0


def test_a_field_that_only_turns_over_is_mended_at_its_border_too() -> None:
    field = torch.zeros(1, 2, 12, 12)
    field[:, 0, 1] = 1.6  # the second row lies beyond the third
    assert folded_voxels(field).any()
    assert folds_percent(mended(field)) == 0

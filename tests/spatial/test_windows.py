"""Means over windows, beside means taken voxel by voxel."""

import pytest
import torch
from torch import Tensor

from autoreg.spatial import window_mean


def plain_mean(values: Tensor, window: int) -> Tensor:
    found = torch.empty_like(values)
    reach, space = window // 2, values.shape[2:]
    for at in torch.cartesian_prod(*[torch.arange(n) for n in space]).tolist():
        box = tuple(slice(max(0, i - reach), i + reach + 1) for i in at)
        found[(..., *at)] = values[(..., *box)].flatten(2).mean(2)
    return found


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 5, 3, 4)])
@pytest.mark.parametrize("window", [1, 3, 7])
def test_it_is_the_mean_of_the_voxels_that_exist(shape: tuple[int, ...], window: int) -> None:
    values = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(window_mean(values, window), plain_mean(values, window), rtol=1e-12)


def test_several_times_is_one_after_the_other() -> None:
    values = torch.rand(1, 2, 6, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(window_mean(values, 3, times=2), window_mean(window_mean(values, 3), 3), rtol=1e-12)


def test_its_derivative() -> None:
    values = torch.rand(1, 1, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: window_mean(x, 3, times=2), values.requires_grad_())

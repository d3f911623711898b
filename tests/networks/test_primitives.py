"""Primitives: the paper's counts of weights, and grids kept or halved."""

import pytest
import torch

from autoreg.networks import PRIMITIVES, weight_count
from autoreg.networks.primitives import make_primitive

PAPER_COUNTS = {  # 64 -> 48 channels in 3-D
    "conv1": 3_072,
    "conv3": 82_944,
    "conv5": 384_000,
    "sep3": 115_392,
    "sep5": 523_072,
    "dil3": 82_992,
    "dil5": 384_048,
    "dil7": 1_053_744,
}


@pytest.mark.parametrize(("name", "count"), PAPER_COUNTS.items())
def test_weight_counts_of_the_paper(name: str, count: int) -> None:
    assert weight_count(make_primitive(name, 3, 64, 48)) == count


def test_weight_count_leaves_frozen_values_out() -> None:
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    assert weight_count(layer) == 6


@pytest.mark.parametrize("name", PRIMITIVES)
@pytest.mark.parametrize("space", [(8, 12), (4, 6, 8)])
@pytest.mark.parametrize("stride", [1, 2])
def test_grid_is_kept_or_halved(name: str, space: tuple[int, ...], stride: int) -> None:
    out = make_primitive(name, len(space), 2, 3, stride=stride)(torch.rand(1, 2, *space))
    assert out.shape == (1, 3, *[n // stride for n in space])


@pytest.mark.parametrize(
    ("name", "reach"), [("conv1", 0), ("conv3", 1), ("dil3", 2), ("dil5", 4), ("sep3", 2), ("dil3x8", 8)]
)
def test_reach(name: str, reach: int) -> None:
    """How far a voxel's value travels: half the kernel times the dilation (twice for a chain of two)."""
    image = torch.zeros(1, 1, 17, 17, requires_grad=True)
    make_primitive(name, 2, 1, 1)(image)[0, 0, 8, 8].backward()
    touched = image.grad[0, 0].nonzero() - 8
    assert touched.abs().max() == reach

"""What deformation cells see: the demons force of features."""

import pytest
import torch
from torch import Tensor

from autoreg.networks import Architecture, Genotype
from autoreg.networks.matching import VIEWS
from autoreg.spatial import warp


def force(fixed: Tensor, moving: Tensor) -> Tensor:
    return VIEWS["force"].of(fixed, moving)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [-0.3, 0.2])
def test_it_points_to_where_moving_features_come_from(axis: int, shift: float) -> None:
    """On a steep ramp a small shift along it is found in voxels, in the sign of our displacements."""
    ramp = 10 * torch.arange(8.0).reshape([-1 if k == axis else 1 for k in range(3)]).expand(8, 8, 8)
    moving = torch.stack([ramp, 0.5 * ramp])[None]
    displacement = torch.zeros(1, 3, 8, 8, 8)
    displacement[:, axis] = shift
    fixed = warp(moving, displacement)
    found = force(fixed, moving)[..., 2:-2, 2:-2, 2:-2]
    expected = torch.zeros_like(found)
    expected[:, axis] = shift / (1 + shift**2)  # the squared difference in the denominator bounds it
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_it_is_half_a_voxel_at_most() -> None:
    fixed, moving = torch.rand(2, 1, 1, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    found = force(fixed, moving)
    assert 0.1 < found.square().sum(1).sqrt().max() <= 0.5


def test_where_features_are_alike_there_is_none() -> None:
    image = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert not force(image, image).any()
    assert not force(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)).any()


def test_both_images_exchanged_exchange_its_sign() -> None:
    fixed, moving = torch.rand(2, 1, 3, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(force(fixed, moving), -force(moving, fixed))


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 1), (1, 1, 1)])
def test_its_derivatives(shape: tuple[int, ...]) -> None:
    """Also on grids of one voxel, which coarse levels of small images have: no slope there."""
    fixed, moving = torch.rand(2, 1, 2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    assert torch.autograd.gradcheck(force, (fixed.requires_grad_(), moving.requires_grad_()))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_with_it(dims: int) -> None:
    options = {"dims": dims, "feature_channels": (4, 6), "feature_edges": 1, "deformation_channels": (6,)}
    network = Genotype.uniform(Architecture(match="concat+force", **options), "conv3").build()
    plain = Genotype.uniform(Architecture(**options), "conv3").build()
    seen = [one.architecture.deformation_cell(2)[0].c_in for one in (network, plain)]
    assert seen == [12 + dims, 12]
    fixed, moving = torch.rand(2, 1, 1, *[8] * dims, generator=torch.Generator().manual_seed(0))
    network(fixed, moving).displacement.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())

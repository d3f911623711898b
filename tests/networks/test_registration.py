"""Networks on pairs: grids, the identity at the start, and flow paths known by hand."""

from typing import Any

import pytest
import torch
from torch import nn

from autoreg.networks import NETWORKS, Architecture, Genotype, Registration, build_network, weight_count
from autoreg.networks.registration import space_to_depth
from autoreg.spatial import compose, warp

SPACES = {2: (16, 24), 3: (16, 8, 8)}


def random_pair(space: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    fixed, moving = torch.rand(2, 2, 1, *space, generator=generator)
    return fixed, moving


def small(dims: int, levels: int, **options: Any) -> Architecture:
    options = {"deformation_channels": (6, 4), "feature_edges": 2, **options}
    return Architecture(dims=dims, feature_channels=(3, 4, 5)[:levels], **options)


def check_start(result: Registration, space: tuple[int, ...], levels: int) -> None:
    """All displacements are near the identity, and on their grids."""
    assert result.displacement.shape == (2, len(space), *space)
    assert len(result.levels) == levels
    for level, u in enumerate(result.levels, start=1):
        assert u.shape == (2, len(space), *[n // 2**level for n in space])
    assert 0 < result.displacement.abs().max() < 0.02


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("downsampling", ["strided", "pooled"])
def test_starts_at_the_identity(dims: int, levels: int, downsampling: str) -> None:
    network = Genotype.uniform(small(dims, levels, downsampling=downsampling), "conv3").build()
    check_start(network(*random_pair(SPACES[dims])), SPACES[dims], levels)


@pytest.mark.parametrize(
    "options",
    [
        {"composition": "legacy"},
        {"match": "cost"},
        {"match": "concat+cost"},
        {"match": "concat+force"},
        {"refine": True},
        {"passes": (2, 1)},
    ],
)
def test_options_start_at_the_identity(options: dict[str, Any]) -> None:
    network = Genotype.uniform(small(3, 2, **options), "sep3").build()
    check_start(network(*random_pair(SPACES[3])), SPACES[3], 2)


def test_a_second_pass_sees_what_the_first_has_left() -> None:
    """Of one level without coarser ones: twice the same network, the second time on the features as warped."""
    twice = Genotype.uniform(small(3, 1, passes=(2,), match="concat+force"), "conv3").build().double()
    torch.nn.init.normal_(twice.deformations[0].head.weight, std=0.3)
    once = Genotype.uniform(small(3, 1, match="concat+force"), "conv3").build().double()
    once.load_state_dict(twice.state_dict())
    fixed, moving = (image.double() for image in random_pair(SPACES[3]))
    (f,), (m,) = once.extract(fixed, moving)
    first = once.deform([fixed, f], [moving, m]).levels[0]
    second = once.deform([fixed, f], [moving, warp(m, first, padding="border")]).levels[0]
    assert first.abs().max() > 0.1
    torch.testing.assert_close(twice(fixed, moving).levels[0], compose(first, second))


def test_what_a_cell_sees_is_in_the_order_of_its_inputs() -> None:
    """Both images at the finest level are their means over the voxels of its grid."""
    inputs = (("finer", "fixed", "displacement"), ("fixed",))
    network = Genotype.uniform(small(2, 2, inputs=inputs, downsampling="pooled"), "conv1").build()
    seen: list[torch.Tensor] = []
    network.deformations[0].register_forward_hook(lambda module, given, out: seen.append(given[0]))
    fixed, moving = random_pair((16, 24))
    network(fixed, moving)
    assert seen[0].shape[1] == 2 + 3 + 2
    torch.testing.assert_close(seen[0][:, 1:2], torch.nn.functional.avg_pool2d(fixed, 2))
    torch.testing.assert_close(seen[0][:, :1], torch.nn.functional.avg_pool2d(moving, 2), atol=1e-2, rtol=0)
    assert 0 < seen[0][:, 5:].abs().max() < 0.02


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_by_name(name: str) -> None:
    space = (16, 32)
    network = build_network({"name": name, "architecture": {"dims": 2, "feature_channels": [4]}})
    assert all(n % network.multiple == 0 for n in space)
    levels = 1 if name.startswith(("all-conv", "voxelmorph")) else 2  # the others have their published cells
    check_start(network(*random_pair(space)), space, levels)


def test_voxelmorph_has_its_published_size() -> None:
    assert weight_count(build_network({"name": "voxelmorph"})) == 327_331


def with_constant_heads(network: nn.Module, *motions: list[float]) -> nn.Module:
    """Every deformation cell answers with a constant velocity, finest level first."""
    for cell, motion in zip(network.deformations, motions, strict=True):
        nn.init.zeros_(cell.head.weight)
        cell.head.bias.data = torch.tensor(motion)
    return network


@pytest.mark.parametrize(
    ("composition", "full", "half"),
    [
        ("compose", [2 * 0.5 + 4 * 0.25, 2 * 0.0 - 4 * 0.5], [0.5 + 2 * 0.25, -2 * 0.5]),
        ("legacy", [2 * 0.5, 0.0], [0.5, 0.0]),  # the half grid replaces the quarter grid
    ],
)
def test_constant_motions_add_up_in_their_units(composition: str, full: list[float], half: list[float]) -> None:
    network = Genotype.uniform(small(2, 2, composition=composition), "conv1").build()
    result = with_constant_heads(network, [0.5, 0.0], [0.25, -0.5])(*random_pair((16, 24)))
    torch.testing.assert_close(result.displacement, torch.tensor(full).view(1, 2, 1, 1).expand(2, 2, 16, 24))
    torch.testing.assert_close(result.levels[0], torch.tensor(half).view(1, 2, 1, 1).expand(2, 2, 8, 12))
    torch.testing.assert_close(result.levels[1], torch.tensor([0.25, -0.5]).view(1, 2, 1, 1).expand(2, 2, 4, 6))


@pytest.mark.parametrize("name", ["voxelmorph", "voxelmorph-diff"])
def test_voxelmorph_constant_motion(name: str) -> None:
    network = build_network({"name": name, "architecture": {"dims": 2}})
    nn.init.zeros_(network.head.weight)
    network.head.bias.data = torch.tensor([1.0, -2.0])
    result = network(*random_pair((16, 16)))
    torch.testing.assert_close(result.displacement[0, :, 5, 7], torch.tensor([1.0, -2.0]))
    torch.testing.assert_close(result.levels[0][0, :, 3, 3], torch.tensor([0.5, -1.0]))


@pytest.mark.parametrize("space", [(4, 6), (4, 6, 2)])
def test_space_to_depth_against_a_loop(space: tuple[int, ...]) -> None:
    image = torch.arange(2 * 2 * torch.Size(space).numel()).view(2, 2, *space)
    out = space_to_depth(image)
    corners = list(torch.cartesian_prod(*[torch.arange(2)] * len(space)))
    expected = [image[:, c][(slice(None), *[slice(int(o), None, 2) for o in at])] for c in range(2) for at in corners]
    assert torch.equal(out, torch.stack(expected, dim=1))


def test_every_weight_gets_a_gradient() -> None:
    network = Genotype.uniform(small(2, 2, refine=True, match="concat+cost"), "dil3").build()
    network(*random_pair((16, 24))).displacement.square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

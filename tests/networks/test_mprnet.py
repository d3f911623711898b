"""MPRNet: its published size, its grids, and the ways its stages join."""

import pytest
import torch
from torch import Tensor, nn

from autoreg.metrics import folds_percent
from autoreg.networks import RegistrationNetwork, weight_count
from autoreg.networks.mprnet import mprnet
from autoreg.spatial import compose, integrate, resize_displacement, voxel_grid

SPACE = (16, 24)


def pair(*space: int) -> tuple[Tensor, Tensor]:
    fixed, moving = torch.rand(2, 1, 1, *space, generator=torch.Generator().manual_seed(0))
    return fixed, moving


def rough(network: RegistrationNetwork, *, std: float) -> RegistrationNetwork:
    """The same network with heads that answer with large velocities."""
    generator = torch.Generator().manual_seed(1)
    for cell in network.deformations:
        nn.init.normal_(cell.head.weight, std=std, generator=generator)
    return network


def seeded_network(composition: str = "compose", steps: int = 7, *, std: float = 0.05) -> RegistrationNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return rough(mprnet(2, composition=composition, integration_steps=steps), std=std)  # type: ignore[arg-type]


def velocities(network: RegistrationNetwork, *images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What the deformation cells answer, finest first; and the displacements of the levels."""
    found: dict[int, Tensor] = {}
    for level, cell in enumerate(network.deformations):
        cell.register_forward_hook(lambda module, given, out, level=level: found.update({level: out[0]}))
    displacements = network(*images).levels
    return [found[level] for level in sorted(found)], list(displacements)


def test_weights_are_as_many_as_published() -> None:
    """Counted from the layers of the published code: extractor, and match, head and refinement of both stages."""

    def layer(c_in: int, c_out: int, kernel: int = 3) -> int:
        return c_in * c_out * kernel**3 + c_out

    features = layer(1, 16, 4) + 2 * layer(16, 16) + layer(16, 32, 4) + 2 * layer(32, 32)
    refinement = layer(3, 48) + layer(48, 48) + layer(48, 32) + layer(32, 3)
    rest = layer(48, 32) + layer(32, 16) + layer(16, 3) + refinement
    assert weight_count(mprnet(3)) == features + layer(33, 48) + layer(36, 48) + 2 * rest


def test_features_lie_on_the_half_grid() -> None:
    """A kernel of 4 at stride 2 is centred between voxels 2i and 2i + 1, where the half grid has voxel i."""
    entry = mprnet(2).features[0][0][0]
    nn.init.constant_(entry.weight, 1 / 16)
    ramp = voxel_grid(SPACE, torch.zeros(1))[:, 1:2]
    features = entry(ramp)
    assert features.shape[2:] == (8, 12)
    expected = 2 * torch.arange(12.0) + 0.5
    torch.testing.assert_close(features[0, 0, 4, 1:-1], expected[1:-1])


def test_stages_are_composed() -> None:
    (fine, coarse), levels = velocities(seeded_network(), *pair(*SPACE))
    torch.testing.assert_close(levels[1], integrate(coarse))
    torch.testing.assert_close(levels[0], compose(resize_displacement(levels[1], (8, 12)), integrate(fine)))
    assert levels[0].abs().max() > 0.1  # there was something to compose


def test_legacy_integrates_the_sum_of_a_velocity_and_a_displacement() -> None:
    network = seeded_network("sum")
    for cell in network.deformations:
        nn.init.zeros_(cell.refine.layers[-1].weight)  # the refinement adds nothing now
    plain: list[Tensor] = []
    network.deformations[0].head.register_forward_hook(lambda module, given, out: plain.append(out))
    _, levels = velocities(network, *pair(*SPACE))
    torch.testing.assert_close(levels[0], integrate(plain[0] + resize_displacement(levels[1], (8, 12))))


def test_both_flows_agree_on_the_first_stage_only() -> None:
    images = pair(*SPACE)
    composed, summed = seeded_network()(*images), seeded_network("sum")(*images)
    assert torch.equal(composed.levels[1], summed.levels[1])
    assert not torch.allclose(composed.levels[0], summed.levels[0], atol=1e-3)


def test_the_constraint_is_what_keeps_it_from_folding() -> None:
    images = pair(32, 32)
    constrained, free = (seeded_network(steps=steps, std=0.1)(*images).levels for steps in (7, 0))
    assert folds_percent(constrained[1].detach()) == 0
    assert folds_percent(free[1].detach()) > 10
    found, displacements = velocities(seeded_network(steps=0), *images)
    assert torch.equal(found[1], displacements[1])


@pytest.mark.parametrize("composition", ["compose", "sum"])
def test_every_weight_learns(composition: str) -> None:
    network = seeded_network(composition)
    network(*pair(*SPACE)).displacement.square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

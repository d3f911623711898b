"""Networks whose convolutions run in bfloat16: what leaves them is float32, and near what float32 gives."""

import pytest
import torch
from problems import seeded
from torch import nn

from autoreg.networks import NETWORKS, RELAXATIONS, Architecture, Choices, Supernet, build_network, computing_in
from autoreg.networks.precision import in_float32

CPU = torch.device("cpu")
SMALL = Architecture(dims=2, feature_channels=(4, 8), feature_edges=1, deformation_channels=(8, 8))


def made(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network({"name": name, "architecture": {"dims": 2}})
        for parameter, weight in network.named_parameters():
            if parameter.endswith("head.weight"):
                nn.init.normal_(weight, std=0.05)
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_displacements_and_gradients_are_float32_and_near(name: str) -> None:
    network, (fixed, moving) = made(name), torch.rand(2, 1, 1, 32, 32, generator=seeded(0))
    full = network(fixed, moving).displacement
    with computing_in("bfloat16", CPU):
        found = network(fixed, moving)
    assert {u.dtype for u in (found.displacement, *found.levels)} == {torch.float32}
    assert not torch.equal(found.displacement, full)  # it did run in bfloat16
    assert (found.displacement - full).norm() < 0.05 * full.norm()
    found.displacement.square().mean().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients and all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_alpha_gets_gradients_of_its_own_precision(relaxation: str) -> None:
    choices = Choices(SMALL, ("conv1", "sep3"))
    alpha = torch.zeros(len(choices.edges), 2, dtype=torch.float64, requires_grad=True)
    supernet = Supernet(choices, relaxation=relaxation)
    fixed, moving = torch.rand(2, 1, 1, 16, 16, generator=seeded(0))
    with computing_in("bfloat16", CPU):
        found = supernet(fixed, moving, RELAXATIONS[relaxation](alpha, seeded(0)))
    found.displacement.square().sum().backward()
    assert found.displacement.dtype == torch.float32
    assert alpha.grad is not None and alpha.grad.dtype == torch.float64 and alpha.grad.isfinite().all()


def test_noise_and_own_terms_of_a_probabilistic_network_are_float32() -> None:
    network, (fixed, moving) = made("bpfl"), torch.rand(2, 1, 1, 32, 32, generator=seeded(0))
    plain = network(fixed, moving, (1,)).own
    with computing_in("bfloat16", CPU):
        own = network(fixed, moving, (1,)).own
    for name, value in own.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, plain[name], rtol=0.05, atol=0)


def test_float32_is_torch_without_autocast() -> None:
    layer, x = nn.Conv2d(2, 2, 3), torch.rand(1, 2, 8, 8)
    with computing_in("float32", CPU):
        assert layer(x).dtype == torch.float32
    with computing_in("bfloat16", CPU):
        assert layer(x).dtype == torch.bfloat16
        inside = in_float32(layer, x)
    assert torch.equal(inside, layer(x))
    assert in_float32(layer.double(), x.double()).dtype == torch.float64

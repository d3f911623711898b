"""Activations computed again on the way back: the same bits, fewer of them kept."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from problems import seeded
from torch import Tensor, nn

from autoreg.networks import (
    RELAXATIONS,
    Architecture,
    Choices,
    Genotype,
    Registration,
    Supernet,
    build_network,
    recompute_activations,
)
from autoreg.networks.mprnet import mprnet

SPACE = (16, 16, 16)
SMALL = Architecture(feature_channels=(4, 8), feature_edges=2, deformation_channels=(8, 8), downsampling="pooled")
PRIMITIVES = ("conv1", "sep3", "dil3")
DERIVED: dict[str, Callable[[], nn.Module]] = {
    "sep3": Genotype.uniform(SMALL, "sep3").build,
    "mprnet": lambda: mprnet(3),
    "mprnet-legacy": lambda: mprnet(3, composition="sum"),
    "autoreg-abide": lambda: build_network({"name": "autoreg-abide"}),
}


def same_start(build: Callable[[], nn.Module]) -> tuple[nn.Module, nn.Module]:
    """A network, and one that recomputes, with weights that move by parts of a voxel."""
    made = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made.append(build())
            for name, weight in made[-1].named_parameters():
                if "head" in name:
                    nn.init.normal_(weight, std=0.1)
    recompute_activations(made[1])
    return made[0], made[1]


def value_of(found: Registration) -> Tensor:
    return torch.stack([u.square().mean() for u in (found.displacement, *found.levels)]).sum()


def kept_mib(work: Callable[[], object]) -> float:
    """Memory that autograd keeps for the way back."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        held = work()  # what it gives is held, so that no storage is counted for another
    assert held is not None
    return sum(sizes.values()) / 2**20


def images() -> tuple[Tensor, Tensor]:
    fixed, moving = torch.rand(2, 1, 1, *SPACE, generator=seeded(0))
    return fixed, moving


@pytest.mark.parametrize("name", DERIVED)
def test_a_derived_network_has_the_same_values_and_gradients_and_keeps_less(name: str) -> None:
    kept, again = same_start(DERIVED[name])
    values = [value_of(network(*images())) for network in (kept, again)]
    gradients = [torch.autograd.grad(v, list(n.parameters())) for v, n in zip(values, (kept, again), strict=True)]
    assert torch.equal(*values)
    assert all(map(torch.equal, *gradients))
    assert kept_mib(lambda: again(*images())) < 0.6 * kept_mib(lambda: kept(*images()))


def relaxed(network: nn.Module, relaxation: str, alpha: Tensor, seed: int) -> Registration:
    return network(*images(), RELAXATIONS[relaxation](alpha, seeded(seed)))


@pytest.mark.parametrize("activation", ["inside", "after_sum"])
@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_a_supernet_has_the_same_values_and_gradients_and_keeps_less(relaxation: str, activation: str) -> None:
    """With another path run between the way there and the way back, whose gates must not be taken."""
    choices = Choices(SMALL, PRIMITIVES)
    alpha = torch.randn(len(choices.edges), 3, generator=seeded(1)).requires_grad_()
    found: list[Any] = []
    networks = same_start(lambda: Supernet(choices, relaxation=relaxation, activation=activation))
    for network in networks:
        value = value_of(relaxed(network, relaxation, alpha, 0))
        relaxed(network, relaxation, -alpha, 1)
        inputs = [alpha, *network.parameters()]
        found.append((value, torch.autograd.grad(value, inputs, allow_unused=True)))
    assert torch.equal(found[0][0], found[1][0])
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert (one is None and other is None) or torch.equal(one, other)
    plain, again = (kept_mib(lambda n=n: relaxed(n, relaxation, alpha, 0)) for n in networks)
    assert again < 0.75 * plain


def test_second_derivatives_and_a_second_way_back() -> None:
    """What `second_derivative` asks for, and what a gradient of every term does."""
    found: list[list[Tensor]] = []
    for network in same_start(Genotype.uniform(SMALL, "conv3").build):
        weights = list(network.parameters())
        value = value_of(network(*images()))
        torch.autograd.grad(value, weights, retain_graph=True)
        slope = torch.autograd.grad(value, weights, create_graph=True)
        found.append(list(torch.autograd.grad(torch.stack([g.square().sum() for g in slope]).sum(), weights)))
    assert all(map(torch.equal, *found)) and any(g.abs().sum() > 0 for g in found[0])


def test_without_gradients_nothing_runs_twice() -> None:
    _, again = same_start(Genotype.uniform(SMALL, "conv3").build)
    calls: list[int] = []
    again.features[0].register_forward_pre_hook(lambda *_: calls.append(1))  # type: ignore[union-attr, index]
    with torch.inference_mode():
        again(*images())
    assert len(calls) == 1
    value_of(again(*images())).backward()
    assert len(calls) == 3


def test_voxelmorph_stays_as_it_is() -> None:
    kept, again = same_start(lambda: build_network({"name": "voxelmorph"}))
    assert kept_mib(lambda: again(*images())) == kept_mib(lambda: kept(*images()))

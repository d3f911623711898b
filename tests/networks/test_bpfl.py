"""Probabilistic features: distributions against closed forms, noise by pair, and two levels that learn in turn."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.func import functional_call

from autoreg.networks.bpfl import BPFL, ENERGY, KL, Gaussian, divergence, feature_energy

SPACE = (16, 24)


def images(pairs: int = 2) -> tuple[Tensor, Tensor]:
    fixed, moving = torch.rand(2, pairs, 1, *SPACE, generator=torch.Generator().manual_seed(0))
    return fixed, moving


def network(*, probabilistic: bool = True) -> BPFL:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = BPFL(2, probabilistic=probabilistic)
        for cell in made.pyramid.deformations:
            torch.nn.init.normal_(cell.head.weight, std=0.05)
    return made


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_divergence_from_the_prior() -> None:
    mean, log_variance = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(1))
    each = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(divergence(mean, log_variance), each.flatten(1).mean(1))


@pytest.mark.parametrize(
    ("mean", "variance", "expected"), [(0.0, 1.0, 0.0), (2.0, 1.0, 2.0), (0.0, 4.0, 1.5 - torch.tensor(2.0).log())]
)
def test_divergence_by_hand(mean: float, variance: float, expected: float) -> None:
    found = divergence(torch.full((1, 2, 3), mean), torch.full((1, 2, 3), variance).log())
    assert found.item() == pytest.approx(float(expected), abs=1e-6)


def test_samples_have_the_mean_and_the_variance_and_pass_gradients() -> None:
    mean = torch.full((1, 2, 100, 100), 3.0, requires_grad=True)
    log_variance = torch.full((1, 2, 100, 100), 2 * float(torch.tensor(0.5).log()), requires_grad=True)
    sample = Gaussian(mean, log_variance).sample(generators(0))
    assert sample.mean().item() == pytest.approx(3.0, abs=0.02)
    assert sample.std().item() == pytest.approx(0.5, abs=0.02)
    of_mean, of_log_variance = torch.autograd.grad(sample.sum(), [mean, log_variance])
    assert torch.equal(of_mean, torch.ones_like(mean))
    torch.testing.assert_close(of_log_variance, 0.5 * (sample - mean))


def test_noise_belongs_to_the_pair_wherever_it_is_in_a_batch() -> None:
    two = Gaussian(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)).sample(generators(5, 6))
    alone = Gaussian(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4)).sample(generators(6))
    assert torch.equal(two[1:], alone)
    assert not torch.equal(two[0], two[1])


@pytest.mark.parametrize("mode", [True, False])
def test_without_seeds_features_are_their_means(mode: bool) -> None:
    made = network().train(mode)
    first, again = made(*images()), made(*images())
    assert torch.equal(first.displacement, again.displacement)
    assert not first.own
    for head in made.heads:
        torch.nn.init.constant_(head.log_variance.bias, 3.0)
    assert torch.equal(made(*images()).displacement, first.displacement)


def test_with_seeds_features_are_sampled_reproducibly() -> None:
    made = network()
    first, again, other = (made(*images(), seeds).displacement for seeds in ((1, 2), (1, 2), (1, 3)))
    assert torch.equal(first, again)
    assert torch.equal(first[0], other[0])
    assert not torch.equal(first[1], other[1])


def test_the_ablation_has_no_noise_and_no_prior() -> None:
    made = network(probabilistic=False)
    trained, used = made(*images(), (1, 2)), made(*images())
    assert torch.equal(trained.displacement, used.displacement)
    assert list(trained.own) == [ENERGY] == list(made.learning.terms)
    assert not any("log_variance" in name for name, _ in made.named_parameters())


def test_own_terms_are_one_value_a_pair() -> None:
    own = network()(*images(), (1, 2)).own
    assert set(own) == {ENERGY, KL} == set(network().learning.terms)
    assert all(value.shape == (2,) and (value > 0).all() for value in own.values())


def test_energy_of_features_is_least_where_they_match() -> None:
    fixed = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    moving = fixed.roll(2, dims=2)
    shift = torch.zeros(1, 2, 12, 12)
    energies = []
    for voxels in (1.0, 2.0, 3.0):
        shift[:, 0] = voxels
        energies.append(feature_energy(fixed, moving, shift).item())
    assert energies[1] < 0.5 * min(energies[0], energies[2])  # rolled round at one border, hence not zero


@pytest.mark.parametrize("probabilistic", [True, False])
def test_features_and_deformation_learn_in_turn_and_all_of_them(probabilistic: bool) -> None:
    made = network(probabilistic=probabilistic)
    learned: list[set[str]] = []
    counted: list[list[bool]] = []
    for step in (0, 1, 2):
        made.zero_grad()
        resting = made.learning.resting(made, step)
        found = functional_call(made, resting, (*images(), (1, 2)))
        own = made.learning.own_terms(found.own, step)
        (found.displacement.square().sum() + sum(value.sum() for value in own)).backward()
        counted.append([bool(value.any()) for value in own])
        learned.append({name for name, p in made.named_parameters() if p.grad is not None and p.grad.any()})
    everything = {name for name, _ in made.named_parameters()}
    assert learned[0] == learned[2] == {name for name in everything if "deformations" not in name}
    assert learned[1] == everything - learned[0]
    assert counted == ([[False, True], [True, False]] * 2 if probabilistic else [[False], [True]] * 2)[:3]

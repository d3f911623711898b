"""Costs add up to whole networks, and a choice within a budget is the best one."""

import itertools

import numpy as np
import pytest
import torch

from autoreg.networks import Architecture, Costs, Genotype, best_within, measure_costs, weight_count

PRIMITIVES = ("conv1", "conv3", "sep3")
CPU = torch.device("cpu")


@pytest.mark.parametrize("downsampling", ["strided", "pooled"])
@pytest.mark.parametrize(("dims", "space"), [(2, (32, 48)), (3, (16, 16, 24))])
def test_measured_costs_predict_another_network(dims: int, space: tuple[int, ...], downsampling: str) -> None:
    architecture = Architecture(dims=dims, feature_channels=(3, 4), feature_edges=2, downsampling=downsampling)
    costs = measure_costs(architecture, PRIMITIVES, space, CPU)
    chosen = [i % 3 for i in range(len(architecture.edges()))]
    genotype = Genotype.of_choices(architecture, PRIMITIVES, chosen)
    assert costs["params"].of(genotype, PRIMITIVES) == weight_count(genotype.build())
    first = Genotype.uniform(architecture, "conv1")
    assert costs["params"].of(first, PRIMITIVES) == weight_count(first.build())
    assert costs["ms"].choices.min() > 0 and costs["mib"].choices.min() > 0


def test_memory_adds_up_over_edges() -> None:
    """What autograd keeps for a network with other primitives than the one the rest was measured with."""
    architecture = Architecture(dims=3, feature_channels=(3, 4), feature_edges=2, downsampling="pooled")
    costs = measure_costs(architecture, PRIMITIVES, (16, 16, 24), CPU)
    again = measure_costs(architecture, ("sep3", "conv1"), (16, 16, 24), CPU)
    genotype = Genotype.uniform(architecture, "sep3")
    whole = again["mib"].of(genotype, ("sep3", "conv1"))  # of the network itself
    assert costs["mib"].of(genotype, PRIMITIVES) == pytest.approx(whole, rel=0.15)


def random_problem(seed: int, edges: int = 5, choices: int = 3) -> tuple[np.ndarray, Costs]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(edges, choices)), Costs(generator.uniform(1, 5, size=(edges, choices)), 2.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_within_a_budget_is_that_of_trying_all(seed: int) -> None:
    scores, costs = random_problem(seed)
    limit = float(np.quantile([costs.rest + c for c in map(sum, itertools.product(*costs.choices))], 0.3))
    chosen = best_within(scores, {"ms": costs}, {"ms": limit})
    rows = np.arange(len(scores))
    assert costs.rest + costs.choices[rows, chosen].sum() <= limit
    every = [list(c) for c in itertools.product(range(3), repeat=5)]
    allowed = [c for c in every if costs.rest + costs.choices[rows, c].sum() <= limit * 0.999]
    assert scores[rows, chosen].sum() >= max(scores[rows, c].sum() for c in allowed)


def test_several_budgets_are_all_kept() -> None:
    scores, first = random_problem(1)
    _, second = random_problem(2)
    rows = np.arange(len(scores))
    chosen = best_within(scores, {"ms": first, "mib": second}, {"ms": 16.0, "mib": 17.0})
    assert first.rest + first.choices[rows, chosen].sum() <= 16.0
    assert second.rest + second.choices[rows, chosen].sum() <= 17.0


def test_without_a_budget_it_is_the_argmax() -> None:
    scores, _ = random_problem(3)
    assert best_within(scores, {}, {}) == scores.argmax(axis=1).tolist()
    assert best_within(np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 2.0]]), {}, {}) == [1, 2]  # the first of equals


def test_an_impossible_budget_says_what_is_possible() -> None:
    scores, costs = random_problem(4)
    with pytest.raises(ValueError, match=f"ms: expected a budget of at least {costs.cheapest():.4g}, got 3"):
        best_within(scores, {"ms": costs}, {"ms": 3.0})

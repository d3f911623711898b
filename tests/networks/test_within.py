"""The best choice within budgets, against trying all."""

import itertools

import numpy as np
import pytest

import autoreg.networks.within as within
from autoreg.networks import (
    Architecture,
    Choices,
    Costs,
    Surface,
    Table,
    Topology,
    best_choice,
    best_within,
    measure_costs,
)


def random_problem(seed: int, edges: int = 5, choices: int = 3) -> tuple[np.ndarray, Table]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(edges, choices)), Table(generator.uniform(1, 5, size=(edges, choices)), 2.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_primitives_are_those_of_trying_all(seed: int) -> None:
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


def test_what_is_impossible_is_none() -> None:
    scores, costs = random_problem(4)
    assert best_within(scores, {"ms": costs}, {"ms": 3.0}) is None


SMALL = Architecture(dims=2, feature_channels=(4, 4), feature_edges=1, deformation_channels=(4,), downsampling="pooled")
CHOICES = Choices(SMALL, ("conv1", "conv3"), Topology(("decoded",), 1, (0.5, 1.0)))


@pytest.fixture(scope="module")
def params() -> dict[str, Costs]:
    import torch

    return {"params": measure_costs(CHOICES, (16, 16), torch.device("cpu"))["params"]}


def total(scores: np.ndarray, chosen: list[int]) -> float:
    """The sum of scores, where edges that the network has not count with their best."""
    there = {edge.name for edge in CHOICES.genotype(chosen).architecture.edges()}
    return sum(
        scores[r].max() if r < len(CHOICES.edges) and CHOICES.rows[r].name not in there else scores[r, c]
        for r, c in enumerate(chosen)
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("quantile", [0.05, 0.3, 0.7])
def test_structure_and_primitives_together_are_those_of_trying_all(params, seed: int, quantile: float) -> None:
    scores = np.random.default_rng(seed).normal(size=CHOICES.there.shape)
    every = [list(c) for c in itertools.product(*[range(len(row.options)) for row in CHOICES.rows])]
    costs = np.array([params["params"].of(CHOICES.genotype(c)) for c in every])
    limit = float(np.quantile(costs, quantile))
    chosen = best_choice(CHOICES, scores, params, {"params": limit})
    assert params["params"].of(CHOICES.genotype(chosen)) <= limit
    allowed = [c for c, cost in zip(every, costs, strict=True) if cost <= limit * 0.998]
    assert total(scores, chosen) >= max(total(scores, c) for c in allowed) - 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_where_there_are_too_many_structures_the_way_down_is_nearly_as_good(params, seed: int, monkeypatch) -> None:
    scores = np.log(np.random.default_rng(seed).dirichlet((1, 1), size=len(CHOICES.rows)))
    cheapest = params["params"].cheapest(CHOICES)
    for part in (0.0, 0.1, 0.4):
        largest = params["params"].of(CHOICES.genotype([1] * len(CHOICES.rows)))
        budget = {"params": cheapest + part * (largest - cheapest) + 1e-6}
        exact = best_choice(CHOICES, scores, params, budget)
        monkeypatch.setattr(within, "_STRUCTURES", 0)
        chosen = best_choice(CHOICES, scores, params, budget)
        monkeypatch.undo()
        assert params["params"].of(CHOICES.genotype(chosen)) <= budget["params"]
        assert total(scores, exact) - 1.0 <= total(scores, chosen) <= total(scores, exact) + 1e-9


def test_without_a_budget_it_is_the_argmax() -> None:
    choices = Choices(SMALL, ("conv1", "conv3", "sep3"), Topology(("decoded",)))
    scores = np.zeros((len(choices.rows), 3))
    scores[0] = [0.0, 1.0, 1.0]
    scores[-1] = [0.0, 1.0, 9.0]  # the last column is no option of a connection
    assert best_choice(choices, scores, {}, {}) == [1, *[0] * (len(scores) - 2), 1]  # the first of equals


def test_an_impossible_budget_says_what_is_possible(params) -> None:
    least = params["params"].cheapest(CHOICES)
    with pytest.raises(ValueError, match=f"params: expected a budget of at least {least:.4g}, got 3"):
        best_choice(CHOICES, np.zeros(CHOICES.there.shape), params, {"params": 3.0})


def test_a_part_costs_what_was_measured() -> None:
    flat = Surface((4,), (4,), np.array([[2.5]]))
    assert flat.at(4, 4) == 2.5

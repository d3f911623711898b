"""Costs of parts add up to whole networks, also of other structure."""

import numpy as np
import pytest
import torch

from autoreg.networks import (
    Architecture,
    Choices,
    Costs,
    Genotype,
    Topology,
    expected_cost,
    measure_costs,
    weight_count,
)
from autoreg.networks.costs import Surface

PRIMITIVES = ("conv1", "conv3", "sep3")
CPU = torch.device("cpu")
FREE = Topology(("decoded", "cost", "finer"), 1, (0.5, 0.75, 1.0))


@pytest.mark.parametrize("downsampling", ["strided", "pooled"])
@pytest.mark.parametrize(("dims", "space"), [(2, (32, 48)), (3, (16, 16, 24))])
def test_measured_costs_predict_another_network(dims: int, space: tuple[int, ...], downsampling: str) -> None:
    architecture = Architecture(dims=dims, feature_channels=(3, 4), feature_edges=2, downsampling=downsampling)
    choices = Choices(architecture, PRIMITIVES)
    costs = measure_costs(choices, space, CPU)
    genotype = choices.genotype([i % 3 for i in range(len(choices.rows))])
    assert costs["params"].of(genotype) == weight_count(genotype.build())
    first = Genotype.uniform(architecture, "conv1")
    assert costs["params"].of(first) == weight_count(first.build())
    table = costs["ms"].table(architecture, PRIMITIVES)
    assert table.choices.min() > 0 and costs["mib"].table(architecture, PRIMITIVES).choices.min() > 0
    assert table.rest + table.choices[:, 0].sum() == pytest.approx(costs["ms"].of(first))


@pytest.mark.parametrize("passes", [(), (1, 3)])
def test_memory_adds_up_over_edges(passes: tuple[int, ...]) -> None:
    """What autograd keeps for a network with other primitives than the one the rest was measured with."""
    architecture = Architecture(feature_channels=(3, 4), feature_edges=2, downsampling="pooled", passes=passes)
    costs = measure_costs(Choices(architecture, PRIMITIVES), (16, 16, 24), CPU)
    again = measure_costs(Choices(architecture, ("sep3", "conv1")), (16, 16, 24), CPU)
    genotype = Genotype.uniform(architecture, "sep3")
    whole = again["mib"].of(genotype)  # of the network itself
    assert costs["mib"].of(genotype) == pytest.approx(whole, rel=0.15)
    assert costs["params"].of(genotype) == weight_count(genotype.build())


@pytest.fixture(scope="module")
def structured() -> tuple[Choices, dict[str, Costs]]:
    base = Architecture(
        dims=2, feature_channels=(8, 9), feature_edges=2, deformation_channels=(10, 7), downsampling="pooled"
    )
    choices = Choices(base, PRIMITIVES, FREE)
    return choices, measure_costs(choices, (32, 32), CPU)


@pytest.mark.parametrize("seed", range(6))
def test_costs_see_connections_levels_and_widths(structured: tuple[Choices, dict[str, Costs]], seed: int) -> None:
    choices, costs = structured
    generator = np.random.default_rng(seed)
    genotype = choices.genotype([int(generator.integers(len(row.options))) for row in choices.rows])
    assert costs["params"].of(genotype) == pytest.approx(weight_count(genotype.build()), abs=1e-6)
    architecture = genotype.architecture
    own = measure_costs(Choices(architecture, PRIMITIVES), (32, 32), CPU)
    for kind, most in (("mib", 0.15), ("params", 1e-9)):
        assert costs[kind].of(genotype) == pytest.approx(own[kind].of(genotype), rel=most)


@pytest.mark.parametrize("kind", ["params", "mib"])
@pytest.mark.parametrize("seed", range(4))
def test_the_expected_cost_of_a_decided_network_is_its_cost(structured, seed: int, kind: str) -> None:
    choices, costs = structured
    generator = np.random.default_rng(seed)
    chosen = [int(generator.integers(len(row.options))) for row in choices.rows]
    certain = torch.zeros(choices.there.shape, dtype=torch.float64)
    certain[range(len(chosen)), chosen] = 1.0
    found = float(expected_cost(costs[kind], choices, certain))
    assert found == pytest.approx(costs[kind].of(choices.genotype(chosen)))


def test_the_expected_cost_of_open_primitives_is_the_mean() -> None:
    plain = Choices(Architecture(dims=2, feature_channels=(8, 9), feature_edges=2), PRIMITIVES)
    measured = measure_costs(plain, (32, 32), CPU)["params"]
    p = torch.rand(len(plain.rows), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(1)
    table = measured.table(plain.largest, PRIMITIVES)
    expected = table.rest + float((p * torch.from_numpy(table.choices)).sum())
    assert float(expected_cost(measured, plain, p)) == pytest.approx(expected)


def test_the_cheapest_is_the_smallest(structured: tuple[Choices, dict[str, Costs]]) -> None:
    choices, costs = structured
    smallest = choices.genotype([0] * len(choices.rows))
    assert costs["params"].cheapest(choices) == pytest.approx(weight_count(smallest.build()))


def test_a_surface_is_exact_for_squares() -> None:
    c_in, c_out = (2, 5, 9), (1, 4)
    values = np.array([[3 * i * i + 2 * i * o + 1 for o in c_out] for i in c_in], dtype=float)
    assert Surface(c_in, c_out, values).at(7, 3) == pytest.approx(3 * 49 + 42 + 1)


def test_costs_survive_plain_values(structured: tuple[Choices, dict[str, Costs]]) -> None:
    choices, costs = structured
    genotype = choices.genotype(choices.usual())
    assert Costs.from_dict(costs["ms"].to_dict()).of(genotype) == costs["ms"].of(genotype)

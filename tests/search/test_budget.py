"""A search under a budget: what pulls alpha, and what is decoded."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from autoreg.config import load_space
from autoreg.errors import ConfigError
from autoreg.networks import Architecture, Choices, Costs, Surface, Topology, measure_costs, weight_count
from autoreg.search.budget import Budget
from autoreg.search.controller import SearchConfig, SearchDriver
from autoreg.setting import open_pool, search_spec

CHOICES = Choices(
    Architecture(dims=2, feature_channels=(4,), feature_edges=1, deformation_channels=(4,)), ("conv1", "conv3")
)
VALUES = np.array([[1.0, 4.0], [2.0, 6.0]])


def hand_made() -> Costs:
    rows = [
        [Surface((edge.c_in,), (edge.c_out,), np.array([[value]])) for value in values]
        for edge, values in zip(CHOICES.edges, VALUES, strict=True)
    ]
    parts = {
        edge.name: dict(zip(CHOICES.primitives, row, strict=True))
        for edge, row in zip(CHOICES.edges, rows, strict=True)
    }
    head = {"head": Surface((4,), (2,), np.array([[1.0]]))}
    return Costs(parts | {"head.1.0": head}, {1: 2.0})


def budget(limit: float) -> Budget:
    found = Budget({"ms": limit}, CHOICES)
    found.use({"ms": hand_made()})
    return found


def test_the_pull_is_the_slope_of_the_expected_cost_and_grows_while_it_is_too_high() -> None:
    tight, alpha = budget(7.0), torch.zeros(2, 2)
    pulls = [tight.pull(alpha) for _ in range(3)]
    lengths = [float(direction.norm()) for direction, _ in pulls]
    assert lengths[0] < lengths[1] < lengths[2]
    assert pulls[0][1]["cost.ms"] == pytest.approx(3 + 2.5 + 4)
    variable = alpha.clone().requires_grad_()
    expected = (variable.softmax(1) * torch.tensor(VALUES)).sum()
    (slope,) = torch.autograd.grad(expected, variable)
    torch.testing.assert_close(pulls[2][0] / lengths[2], (slope / slope.norm()).float())


def test_there_is_no_pull_while_there_is_room() -> None:
    assert float(budget(20.0).pull(torch.zeros(2, 2))[0].norm()) == 0.0


def test_decoding_keeps_the_limit_and_the_scores_where_it_can() -> None:
    scores = torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    assert budget(20.0).decode(scores) == [1, 1]
    assert budget(10.5).decode(scores) == [0, 1]
    assert budget(6.5).decode(scores) == [0, 0]


def test_an_impossible_limit_is_named_before_the_search() -> None:
    with pytest.raises(ConfigError, match=r"search\.max_ms: expected at least 6 ms a pair .*, got 5"):
        budget(5.0)


def test_state_keeps_measured_costs_and_prices() -> None:
    one, other = budget(7.0), Budget({"ms": 7.0}, CHOICES)
    one.pull(torch.zeros(2, 2))
    other.load(one.state())
    assert torch.equal(one.pull(torch.ones(2, 2))[0], other.pull(torch.ones(2, 2))[0])


def test_a_search_keeps_its_budget(smoke_setting) -> None:
    config, setting, space = smoke_setting
    spec = search_spec(config, setting, space, setting.roles(0))
    local = config.__class__(workers=config.workers.__class__(local=True, count=1))
    with open_pool(spec, local, None) as pool:
        costs = pool.measure_costs(setting.image_shape)
        limit = (costs["params"].cheapest(space.choices) + costs["params"].of(_all_conv3(space))) / 2
        driver = SearchDriver(space, SearchConfig(max_params=limit), bounds={"folds_percent": 0.3}, seed=0)
        driver.prepare(pool, setting.image_shape)
    for genotype in (*driver.genotypes().values(), driver.default_genotype()):
        assert 0 < driver.costs(genotype)["params"] <= limit
    assert "conv3" in driver.default_genotype().edges.values()
    again = SearchDriver(space, SearchConfig(max_params=limit), bounds={"folds_percent": 0.3}, seed=0)
    again.load(driver.state())
    assert again.genotypes() == driver.genotypes()


def _all_conv3(space):
    free = SearchDriver(load_space("tiny", dims=3), SearchConfig(), bounds={"folds_percent": 0.3}, seed=0)
    return free.default_genotype()


def test_structure_answers_to_a_budget(smoke_setting) -> None:
    """Prices rise until the structure gives way, and the decoded network keeps the budget by its real count."""
    space = smoke_setting[2]
    free = replace(space, topology=Topology(("decoded", "cost"), 1, (0.5, 1.0)))
    costs = measure_costs(free.choices, (16, 16, 16), torch.device("cpu"))
    usual = free.choices.genotype(free.choices.usual())
    least = costs["params"].cheapest(free.choices)
    limit = least + (costs["params"].of(usual) - least) / 4
    tight = Budget({"params": limit}, free.choices)
    tight.use(costs)
    alpha = torch.where(torch.from_numpy(free.choices.there), 0.0, -torch.inf)
    alpha[range(len(alpha)), free.choices.usual()] = 2.0
    for _ in range(40):
        direction, logged = tight.pull(alpha)
        assert torch.isfinite(direction).all()
        alpha = alpha - 0.2 * direction
    assert logged["cost.params"] < 1.1 * limit
    narrow = [n for n, row in enumerate(free.choices.rows) if row.name.startswith("width.")]
    assert (alpha[narrow, 0] > 0).all() and (alpha[narrow, 1] < 2).all()
    decoded = free.choices.genotype(tight.decode(alpha.log_softmax(1)))
    assert weight_count(decoded.build()) <= limit

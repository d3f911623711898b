"""Alpha's evidence: a tendency grows with the rounds, a random walk does not."""

import pytest
import torch
from scipy.stats import norm, ttest_1samp

from autoreg.config import load_space
from autoreg.errors import InputError
from autoreg.search.controller import SearchConfig, SearchDriver
from autoreg.search.drift import Drift


def walked(directions: torch.Tensor) -> Drift:
    """After rounds with these directions, (rounds, rows, columns)."""
    drift = Drift(tuple(directions.shape[1:]))
    for direction in directions:
        drift.add(direction)
    return drift


def test_the_evidence_is_that_of_a_t_test_of_the_differences() -> None:
    directions = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    others = directions[:, [0, 0, 1, 1], [0, 1, 1, 2]] - directions[:, [0, 0, 1, 1], [2, 2, 0, 0]]
    expected = norm.isf(ttest_1samp(others.numpy(), 0.0, alternative="greater").pvalue)
    assert walked(directions).over([2, 0])[[0, 0, 1, 1], [0, 1, 1, 2]].numpy() == pytest.approx(expected)


def test_steps_that_agree_are_certain() -> None:
    directions = torch.tensor([[0.0, 0.5, -0.1]]).expand(16, 1, 3)
    assert walked(directions).over([0]).tolist() == [[0.0, 8.0, -8.0]]


def test_one_round_is_no_evidence() -> None:
    assert walked(torch.tensor([[[0.0, 0.5, -0.1]]])).over([0]).tolist() == [[0.0] * 3]


@pytest.mark.parametrize("rounds", [4, 8, 60])
def test_random_walks_stay_within_three_deviations(rounds) -> None:
    """However few rounds there are."""
    directions = torch.randn(rounds, 20000, 2, generator=torch.Generator().manual_seed(1))
    deviations = walked(directions).over([0] * 20000)[:, 1]
    assert deviations.std() == pytest.approx(1.0, abs=0.03)
    beyond = (deviations.abs() > 3).double().mean()
    assert 0.0018 < beyond < 0.0036  # 0.0027 of a normal variable, which in 20000 has a deviation of 0.0004


@pytest.mark.parametrize("rounds", [4, 8, 14])
def test_few_rounds_can_decide(rounds) -> None:
    """With a tendency of three times the noise."""
    noise = torch.randn(rounds, 400, 2, generator=torch.Generator().manual_seed(3))
    deviations = walked(noise + torch.tensor([0.0, 3.0 * 2**0.5])).over([0] * 400)[:, 1]
    assert (deviations > 3).double().mean() > {4: 0.1, 8: 0.9, 14: 0.99}[rounds]


def test_nothing_moved_is_no_evidence() -> None:
    assert Drift((2, 3)).over([0, 1]).tolist() == [[0.0] * 3] * 2


def test_it_continues_from_its_state() -> None:
    directions = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(2))
    first, second = walked(directions[:4]), Drift((2, 3))
    second.load(first.state())
    for direction in directions[4:]:
        second.add(direction)
    assert torch.equal(second.over([0, 1]), walked(directions).over([0, 1]))


def searched(evidence: float, consistent: bool) -> SearchDriver:
    """A search whose alpha prefers dil3 on the first edge: in 16 rounds that agree, or in one."""
    driver = SearchDriver(load_space("tiny", dims=3), SearchConfig(evidence=evidence), bounds={}, seed=0)
    direction = torch.zeros_like(driver.upper.alpha)
    direction[0, driver.space.primitives.index("dil3")] = 1.0
    for _ in range(16 if consistent else 1):
        driver.upper.drift.add(direction)
    driver.upper.alpha[:] = 0.1 * direction
    return driver


@pytest.mark.parametrize(
    ("evidence", "consistent", "chosen", "decided"),
    [(3.0, True, "dil3", True), (3.0, False, "conv3", False), (0.0, False, "dil3", True)],
)
def test_only_what_alpha_has_decided_is_changed(evidence, consistent, chosen, decided) -> None:
    driver = searched(evidence, consistent)
    edge = driver.rows[0].name
    assert driver.genotypes()["by alpha"].edges[edge] == chosen
    if evidence:
        others = {name for e, name in driver.genotypes()["by alpha"].edges.items() if e != edge}
        assert others == {"conv3"}
        assert driver.decided() == ([edge] if decided else [])


def test_a_budget_may_take_what_alpha_has_not_decided_for() -> None:
    """Where the stated primitive is too dear, the order of alpha counts."""
    driver = searched(3.0, consistent=False)
    scores = driver._by_alpha()[0]
    names = [driver.space.primitives[i] for i in scores.argsort(descending=True)]
    assert names[:2] == ["conv3", "dil3"]


def test_evidence_is_not_negative() -> None:
    with pytest.raises(InputError, match=r"search\.evidence: expected at least 0, got -1"):
        SearchConfig(evidence=-1)

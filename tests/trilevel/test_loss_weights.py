"""Loss weights: positive, without scale, inside their ranges."""

import pytest
import torch

from autoreg.trilevel import LossWeights, WeightRange

RANGES = (
    WeightRange("smoothness", 2.0, 0.5, 8.0),
    WeightRange("lncc", 1.0, 0.1, 10.0, reference=True),
    WeightRange("mse", 3.0, 0.1, 4.0),
)


FOLLOWING = (
    *RANGES,
    WeightRange("overlap", 1.0, 0.1, 50.0),
    WeightRange("folding", 10.0, 1.0, 40.0, follows=True),
)


def test_a_weight_that_follows_grows_by_the_root_of_the_fastest_beyond_its_own_way() -> None:
    weights = LossWeights(FOLLOWING)
    weights.theta += torch.tensor([0.0, 0.2, 4.0, 0.1]).log1p()
    assert weights.named() == pytest.approx(
        {"smoothness": 2.0, "lncc": 1.0, "mse": 3.6, "overlap": 5.0, "folding": 11 * 5**0.5}
    )


def test_a_weight_that_follows_stays_in_its_range_and_falls_by_its_own_alone() -> None:
    weights = LossWeights(FOLLOWING)
    weights.theta[2] += 3.5
    assert weights.named()["folding"] == pytest.approx(40.0)
    weights = LossWeights(FOLLOWING)
    weights.theta[:3] -= 0.1
    assert weights.named()["folding"] == pytest.approx(10.0)


@pytest.mark.parametrize("high", [20.0, 30.0, 50.0, 70.0])
def test_a_weight_that_leads_keeps_its_derivative_at_the_end_of_its_range(high: float) -> None:
    weights = LossWeights([*RANGES, WeightRange("overlap", 1.0, 0.1, high), FOLLOWING[-1]])
    weights.theta[2] += 99
    weights.clip()
    assert weights.named()["overlap"] == pytest.approx(high)
    assert float(weights.pull_back(torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0]))[2]) == pytest.approx(high)


def test_start() -> None:
    assert LossWeights(RANGES).named() == pytest.approx({"smoothness": 2.0, "lncc": 1.0, "mse": 3.0})


def test_stay_positive_and_in_range_with_the_reference_at_one() -> None:
    weights = LossWeights(RANGES)
    weights.theta -= torch.tensor([50.0, -50.0])
    assert (weights.values() > 0).all() and weights.values()[1] == 1.0
    weights.clip()
    assert weights.named() == pytest.approx({"smoothness": 0.5, "lncc": 1.0, "mse": 4.0})


def test_clip_leaves_what_is_in_range() -> None:
    weights = LossWeights(RANGES)
    before = weights.theta.clone()
    weights.clip()
    assert torch.equal(weights.theta, before)


@pytest.mark.parametrize("ranges", [RANGES, FOLLOWING])
def test_pull_back_against_finite_differences(ranges: tuple[WeightRange, ...]) -> None:
    def objective(values: torch.Tensor) -> torch.Tensor:
        return (values[0] * values[2] ** 2 + values[1:].square().sum()).log()

    def grown() -> LossWeights:
        weights = LossWeights(ranges)
        weights.theta += 0.1 * torch.arange(len(weights.theta))
        return weights

    weights = grown()
    values = weights.values().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(values), values)
    found = weights.pull_back(gradient)
    for i in range(len(weights.theta)):
        ends = []
        for h in (1e-6, -1e-6):
            moved = grown()
            moved.theta[i] += h
            ends.append(float(objective(moved.values())))
        assert float(found[i]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-7)


def test_one_term_alone() -> None:
    weights = LossWeights(RANGES[1:2])
    assert weights.named() == {"lncc": 1.0} and weights.pull_back(torch.ones(1)).shape == (0,)


@pytest.mark.parametrize("ranges", [RANGES[::2], (*RANGES, RANGES[1])])
def test_exactly_one_reference(ranges: tuple[WeightRange, ...]) -> None:
    with pytest.raises(ValueError, match="expected one reference term"):
        LossWeights(ranges)

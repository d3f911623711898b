from dataclasses import replace

import numpy as np
import pytest
import torch

from autoreg.errors import InputError
from autoreg.search.upper import UpperConfig, UpperLevels
from autoreg.trilevel import WeightRange
from autoreg.workers.messages import RoundReport

RANGES = [WeightRange("a", 1.0, 0.1, 10.0, True), WeightRange("b", 2.0, 0.1, 10.0)]


def upper() -> UpperLevels:
    return UpperLevels((2, 3), RANGES, UpperConfig(), bounds={"folds_percent": 0.5}, seed=1)


def report(rank: int = 0, folds: float = 0.0) -> RoundReport:
    return RoundReport(
        index=0,
        rank=rank,
        terms=np.zeros(2),
        alpha_direct=np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]], dtype=np.float32),
        alpha_indirect=np.zeros((2, 3), dtype=np.float32),
        loss_weights_gradient=np.array([5.0, 0.25]),
        upper={"dice": 0.25, "folds_percent": folds, "stand_in.folds_percent": folds / 100},
    )


def test_alpha_and_lambda_move_against_their_gradients():
    levels = upper()
    before = levels.alpha.clone()
    levels.update([report()])
    moved = levels.alpha - before
    assert moved[0, 0] < 0 < moved[1, 2]
    assert torch.equal(moved[:, 1], torch.zeros(2))
    assert levels.loss_weights.named()["a"] == 1.0
    assert levels.loss_weights.named()["b"] < 2.0


def test_shares_of_workers_add_up():
    one, two = upper(), upper()
    whole = report()
    assert whole.alpha_direct is not None
    assert whole.loss_weights_gradient is not None
    half = replace(
        whole,
        alpha_direct=whole.alpha_direct / 2,
        loss_weights_gradient=whole.loss_weights_gradient / 2,
        upper={k: v / 2 for k, v in whole.upper.items()},
    )
    halves = [half, replace(half, rank=1)]
    logged = one.update([whole])
    assert two.update(halves) == logged
    assert torch.equal(one.alpha, two.alpha)


def test_a_level_whose_estimator_refused_rests(caplog):
    levels = upper()
    before = levels.alpha.clone()
    refused = {"alpha": "no minimum", "loss_weights": "no minimum"}
    logged = levels.update([replace(report(), alpha_indirect=None, loss_weights_gradient=None, refused=refused)])
    assert logged == {"refused.alpha": 1.0, "refused.loss_weights": 1.0}
    assert torch.equal(levels.alpha, before) and levels.loss_weights.named()["b"] == 2.0
    assert "no minimum; this level rests" in caplog.text


def test_the_path_through_alpha_joins_the_gradient():
    usual, full = upper(), upper()
    usual.update([replace(report(), loss_weights_gradient=np.array([0.0, -3.0]))])
    through = {"loss_weights_gradient": np.array([0.0, 1.0]), "loss_weights_through_alpha": np.array([0.0, -4.0])}
    logged = full.update([replace(report(), **through)])
    assert full.loss_weights.named() == usual.loss_weights.named()
    assert logged["lambda_alpha_path_share"] == 0.8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"paths": "both"}, "paths: expected one of sequential, direct, full, got 'both'"),
        ({"alpha_estimator": "dot_product"}, "alpha_estimator: expected one of darts_fd"),
        ({"loss_weights_estimator": "direct"}, "loss_weights_estimator: expected one of dot_product"),
        ({"horizon": 0}, "horizon: expected at least 1"),
        ({"paths": "full", "alpha_estimator": "unrolled"}, "full goes through one step"),
    ],
)
def test_what_does_not_go_together_is_named(given, message):
    with pytest.raises(InputError, match=message):
        UpperConfig(**given)


def test_the_price_of_folding_follows_the_bound():
    levels = upper()
    prices = [levels.prices()["folds_percent"]]
    for folds in (2.0, 2.0, 0.0):
        levels.update([report(folds=folds)])
        prices.append(levels.prices()["folds_percent"])
    assert prices[0] == 0 < prices[1] < prices[2]
    assert prices[3] == 0  # nothing folds, so nothing can be gained


def test_state_continues_bit_for_bit():
    one = upper()
    one.update([report()])
    two = UpperLevels((2, 3), RANGES, UpperConfig(), bounds={"folds_percent": 0.5}, seed=99)
    two.load(one.state())
    one.update([report(folds=1.0)])
    two.update([report(folds=1.0)])
    assert torch.equal(one.alpha, two.alpha)
    assert one.loss_weights.named() == two.loss_weights.named()
    assert one.prices() == two.prices() != {"folds_percent": 0.0}


def test_entropy_starts_near_undecided():
    assert abs(upper().entropy() - np.log(3)) < 1e-4

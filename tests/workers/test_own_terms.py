"""Terms that a network adds by itself: with fixed weights in the objective, and beside the searched ones in reports."""

import numpy as np
import pytest

from autoreg.setting import training_spec
from autoreg.workers.messages import RoundReport, RoundTask
from autoreg.workers.pool import LocalPool


def run(smoke_setting, network: str, loss_weights: list[float]) -> tuple[RoundReport, dict[str, np.ndarray]]:
    """The report of two steps with these loss weights, and how far each weight went."""
    config, setting, space = smoke_setting
    pool = LocalPool(training_spec(config, setting, space, setting.roles(0), space.named_network(network)))
    before = pool.state()["weights"]
    (report,) = pool.run_round(RoundTask(0, 0, (1e-3, 1e-3), np.array(loss_weights), update_loss_weights=False))
    after = pool.state()["weights"]
    return report, {name: np.abs(after[name] - value).max() for name, value in before.items()}


def test_they_are_reported_beside_the_terms_of_the_space(smoke_setting) -> None:
    report, _ = run(smoke_setting, "bpfl", [1.0, 10.0, 1.0, 1.0])
    assert report.terms.shape == (4,)
    assert set(report.own_terms) == {"feature_energy", "kl"}
    assert min(report.own_terms.values()) > 0
    assert run(smoke_setting, "all-conv3", [1.0, 10.0, 1.0, 1.0])[0].own_terms == {}


@pytest.mark.parametrize(("network", "moves"), [("bpfl", True), ("all-conv3", False)])
def test_they_train_without_any_loss_weight(smoke_setting, network: str, moves: bool) -> None:
    _, moved = run(smoke_setting, network, [0.0, 0.0, 0.0, 0.0])
    assert (max(moved.values()) > 0) == moves
    if moves:
        assert moved["heads.0.log_variance.weight"] > 0
        assert moved["pyramid.deformations.0.head.weight"] > 0

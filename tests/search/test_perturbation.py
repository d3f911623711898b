"""Primitives by what their removal costs, on a real supernet."""

import numpy as np
import pytest

from autoreg.search.perturbation import importances
from autoreg.workers.messages import RoundTask
from autoreg.workers.pool import LocalPool


@pytest.fixture(scope="module")
def pool(tiny_spec) -> LocalPool:
    return LocalPool(tiny_spec)


def lambda_of(spec) -> np.ndarray:
    return np.array([1.0 if term.reference else term.start for term in spec.terms])


def zero_alpha(pool: LocalPool) -> np.ndarray:
    choices = pool.worker.shares[0].network.choices
    return np.zeros((len(choices.rows), len(choices.primitives)), dtype=np.float32)


def test_the_objective_is_that_of_a_round(pool, tiny_spec) -> None:
    alpha, weights = zero_alpha(pool), lambda_of(tiny_spec)
    report = pool.run_round(RoundTask(0, 7, (0.0,), weights, alpha, update_alpha=True))[0]
    found = pool.architecture_objectives([alpha], weights, [7])
    assert found[0, 0] == pytest.approx(float(report.architecture_terms @ weights), rel=1e-6)


def test_importances_are_what_removal_adds(pool, tiny_spec) -> None:
    alpha, weights = zero_alpha(pool), lambda_of(tiny_spec)
    found = importances(pool, alpha, weights, [0, 1, 2])
    assert found.shape == alpha.shape
    masked = alpha.copy()
    masked[1, 2] = -np.inf
    whole, without = pool.architecture_objectives([alpha, masked], weights, [0, 1, 2])
    assert found[1, 2] == pytest.approx(sorted(without - whole)[1], rel=1e-6)
    assert without[1] == pytest.approx(pool.architecture_objectives([masked], weights, [1])[0, 0], rel=1e-6)
    assert np.isfinite(found).all() and np.abs(found).max() > 0

"""One contract for every pool: the same verbs and the same numbers."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from autoreg.errors import DivergedError, WorkerError
from autoreg.workers.config import WorkerConfig
from autoreg.workers.messages import RoundTask, WorkerSpec
from autoreg.workers.pool import LocalPool, interleave

ALPHA = np.linspace(-0.5, 0.5, 18, dtype=np.float32).reshape(6, 3)


def task(**changes: object) -> RoundTask:
    values = {
        "index": 0,
        "first_step": 0,
        "learning_rates": (1e-3, 1e-3),
        "loss_weights": np.array([1.0, 10.0, 1.0, 1.0]),
        "alpha": ALPHA,
        "update_alpha": True,
        "update_loss_weights": True,
        "prices": {"folds_percent": 10.0},
    }
    return RoundTask(**(values | changes))  # type: ignore[arg-type]


def ray_pool(spec: WorkerSpec, count: int):
    from autoreg.workers.ray_pool import RayPool

    return RayPool(spec, WorkerConfig(count=count, timeout_seconds=120))


FIELDS = ("terms", "alpha_direct", "alpha_indirect", "architecture_terms", "loss_weights_gradient")


def totals(reports) -> dict[str, np.ndarray]:
    return {name: np.sum([getattr(r, name) for r in reports], axis=0) for name in FIELDS}


@pytest.fixture(scope="module")
def local(tiny_spec) -> tuple[list, dict]:
    pool = LocalPool(tiny_spec)
    return pool.run_round(task()), pool.state()


@pytest.mark.ray
def test_one_ray_worker_gives_the_local_numbers_bit_for_bit(ray_cluster, tiny_spec, local):
    pool = ray_pool(tiny_spec, 1)
    reports, state = pool.run_round(task()), pool.state()
    pool.close()
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(reports[0], name), getattr(local[0][0], name))
    for name, value in local[1]["weights"].items():
        np.testing.assert_array_equal(state["weights"][name], value)


@pytest.mark.ray
def test_two_workers_with_the_same_global_batch_give_the_same_result(ray_cluster, tiny_spec, local):
    pool = ray_pool(tiny_spec, 2)
    reports, state = pool.run_round(task()), pool.state()
    pool.close()
    expected, got = totals(local[0]), totals(reports)
    for name in ("terms", "architecture_terms", "alpha_direct"):
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(got["loss_weights_gradient"], expected["loss_weights_gradient"], rtol=2e-2, atol=1e-6)
    for name, value in local[1]["weights"].items():
        np.testing.assert_allclose(state["weights"][name], value, atol=1e-5)


@pytest.mark.ray
def test_a_killed_worker_is_replaced_and_the_round_repeats_exactly(ray_cluster, tiny_spec):
    pool = ray_pool(tiny_spec, 2)
    start = pool.state()
    first = totals(pool.run_round(task()))
    os.kill(pool.processes()[1], signal.SIGKILL)
    with pytest.raises(WorkerError, match="worker"):
        pool.run_round(task())
    pool.repair()
    pool.load(start)
    again = totals(pool.run_round(task()))
    pool.close()
    for name in FIELDS:
        np.testing.assert_array_equal(again[name], first[name])


@pytest.mark.ray
def test_divergence_comes_through_ray_with_level_and_round(ray_cluster, tiny_spec):
    pool = ray_pool(tiny_spec, 1)
    with pytest.raises(DivergedError, match=r"weights objective .* round 7"):
        pool.run_round(task(index=7, learning_rates=(float("nan"), 1e-3)))
    pool.close()


def test_local_state_restores_bit_for_bit(tiny_spec):
    pool = LocalPool(tiny_spec)
    pool.run_round(task())
    state = pool.state()
    first = pool.run_round(task(index=1, first_step=2))[0]
    pool.repair()
    pool.load(state)
    again = pool.run_round(task(index=1, first_step=2))[0]
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))


@pytest.mark.parametrize(
    "changes", [{"relaxation": "single-path"}, {"relaxation": "partial-channel"}, {"activation": "after_sum"}], ids=str
)
def test_every_relaxation_gives_finite_hypergradients(tiny_spec, changes):
    report = LocalPool(replace(tiny_spec, **changes)).run_round(task())[0]
    for name in FIELDS:
        assert np.isfinite(getattr(report, name)).all() and np.abs(getattr(report, name)).max() > 0


def test_evaluate_scores_every_pair_in_order(training_spec_):
    pool = LocalPool(training_spec_)
    keys = list(pool.worker.volumes)
    pairs = [(keys[0], keys[1]), (keys[2], keys[3]), (keys[1], keys[0])]
    rows = pool.evaluate(pairs)
    assert [(row["fixed"], row["moving"]) for row in rows] == pairs
    assert all(0 < np.nanmean(row["dice"]) < 1 for row in rows)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_interleave_restores_the_order(count):
    rows = list(range(7))
    assert interleave([rows[i::count] for i in range(count)]) == rows

"""One contract for every pool: the same verbs and the same numbers."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from autoreg.errors import DivergedError, InputError, WorkerError
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


@pytest.fixture(scope="module")
def shared(tiny_spec) -> tuple[list, dict]:
    """The round in two shares, by one worker."""
    pool = LocalPool(tiny_spec, shares=2)
    return pool.run_round(task()), pool.state()


def same(reports, state, expected) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(totals(reports)[name], totals(expected[0])[name])
    for name, value in expected[1]["weights"].items():
        np.testing.assert_array_equal(state["weights"][name], value)


@pytest.mark.slow
@pytest.mark.ray
def test_who_holds_a_share_changes_no_bit(ray_cluster, tiny_spec, shared):
    pool = ray_pool(tiny_spec, 2)
    same(pool.run_round(task()), pool.state(), shared)
    pool.close()


def test_smaller_shares_are_the_same_batch(tiny_spec, local, shared):
    for name in ("terms", "architecture_terms", "alpha_direct"):
        np.testing.assert_allclose(totals(shared[0])[name], totals(local[0])[name], rtol=1e-3, atol=1e-6)
    pool = LocalPool(tiny_spec)
    pool.divide(2)
    pool.repair()
    same(pool.run_round(task()), pool.state(), shared)
    with pytest.raises(InputError, match="expected at most 2"):
        pool.divide(3)


def weights_apart(one: dict, other: dict) -> float:
    return max(float(np.abs(one["weights"][name] - value).max()) for name, value in other["weights"].items())


def test_shares_that_go_alone_are_averaged(tiny_spec, shared):
    """The sum that averages sees every share once: equal pairs give what one share gives."""
    spec = replace(tiny_spec, batch_size=4, average_every=2)
    rates = task(learning_rates=(1e-3,) * 5)
    pools = [LocalPool(replace(spec, average_every=every), shares=2) for every in (1, 2, 4)]
    reports = [pool.run_round(rates) for pool in pools]
    together, *alone = [pool.state() for pool in pools]
    assert all(0 < weights_apart(state, together) <= 1e-2 for state in alone)  # Adam's steps are 1e-3 at most
    assert [totals(r)["terms"].shape for r in reports] == [(4,)] * 3
    np.testing.assert_allclose(totals(reports[1])["terms"][[0, 3]], totals(reports[0])["terms"][[0, 3]], rtol=0.05)
    for pool in pools[1:]:  # after a round all shares are equal
        first, second = (share.state() for share in pool.worker.shares)
        assert weights_apart(first, second) == 0


def test_shares_that_see_the_same_pairs_lose_nothing_by_going_alone(tiny_spec):
    class Same:
        def batch(self, step, size):
            return tiny_spec.samplers.weights.batch(step, 1) * size

    samplers = replace(tiny_spec.samplers, weights=Same())
    results = []
    for every in (1, 2):
        pool = LocalPool(replace(tiny_spec, samplers=samplers, average_every=every), shares=2)
        pool.run_round(task(learning_rates=(1e-3,) * 4, update_alpha=False, update_loss_weights=False))
        results.append(pool.state())
    assert weights_apart(*results) < 1e-6
    np.testing.assert_allclose(results[0]["lower"]["exp_avg_sq"][0], results[1]["lower"]["exp_avg_sq"][0], rtol=1e-4)


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


@pytest.mark.slow
@pytest.mark.ray
def test_a_hung_worker_is_replaced(ray_cluster, tiny_spec, shared):
    from autoreg.workers.ray_pool import RayPool

    pool = RayPool(tiny_spec, WorkerConfig(count=2, heartbeat_seconds=3))
    start, before = pool.state(), pool.processes()
    os.kill(before[1], signal.SIGSTOP)
    with pytest.raises(WorkerError, match=r"worker 1: no sign of life for 3 s in run_round"):
        pool.run_round(task())
    pool.repair()
    pool.load(start)
    same(pool.run_round(task()), pool.state(), shared)
    assert before[1] not in pool.processes()
    pool.close()


@pytest.mark.slow
@pytest.mark.ray
def test_a_pool_shrinks_and_grows_without_a_trace(ray_cluster, tiny_spec, shared, monkeypatch):
    import ray

    from autoreg.workers import ray_pool as module

    class Guest:
        def here(self) -> bool:
            return True

    def invite():
        guest = ray.remote(Guest).options(num_cpus=int(ray.cluster_resources()["CPU"]) - 1).remote()
        assert ray.get(guest.here.remote(), timeout=60)
        return guest

    monkeypatch.setattr(module, "_ROOM_SECONDS", 1.0)
    guest = invite()
    pool = module.RayPool(tiny_spec, WorkerConfig(min=1, max=2))
    start = pool.state()
    assert (pool.count, pool.shares) == (1, 2)
    same(pool.run_round(task()), pool.state(), shared)

    ray.kill(guest)
    end = time.monotonic() + 60
    while pool.count < 2 and time.monotonic() < end:
        pool.grow(start)
    assert pool.count == 2
    same(pool.run_round(task()), pool.state(), shared)

    os.kill(pool.processes()[0], signal.SIGKILL)
    guest = invite()
    with pytest.raises(WorkerError):
        pool.run_round(task())
    pool.repair()
    pool.load(start)
    assert pool.count == 1
    same(pool.run_round(task()), pool.state(), shared)
    pool.close()
    ray.kill(guest)


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

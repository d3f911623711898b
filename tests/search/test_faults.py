"""Faults of a run on a pool in this process: what is answered, how often, and that the result stays."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from autoreg.errors import DivergedError, MemoryExhaustedError, StorageError, WorkerError
from autoreg.search import rounds as rounds_module
from autoreg.search.controller import SearchDriver
from autoreg.search.faults import check_bounded
from autoreg.search.rounds import Journal, run_rounds
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.tracker import MemoryTracker
from autoreg.workers.pool import LocalPool

TIMES = {"seconds", "device_seconds", "sum_seconds"}


class FaultyPool(LocalPool):
    """A real pool that does what is asked of it in some rounds: round -> faults, one an attempt."""

    def __init__(self, spec, faults, **options):
        super().__init__(spec, **options)
        self.faults = {index: list(found) for index, found in faults.items()}

    def run_round(self, task):
        fault = self.faults[task.index].pop(0) if self.faults.get(task.index) else None
        if isinstance(fault, Exception):
            super().run_round(task)  # the weights have moved when it is noticed
            raise fault
        reports = super().run_round(task)
        return fault(self, reports) if fault else reports


@pytest.fixture
def search(flat_setting, flat_spec, tmp_path, monkeypatch):
    """Runs a search on a pool with faults; what it gives can be compared."""
    monkeypatch.setattr(rounds_module, "REPAIR_SECONDS", 0.0)
    config, _, space = flat_setting
    settings = replace(config.search, rounds=4, warmup_rounds=1, batch_size=4)
    spec = replace(flat_spec, batch_size=4)

    def run(faults=None, *, name="run", resume=False, shares=1, **changes):
        folder = tmp_path / name
        driver = SearchDriver(space, replace(settings, **changes), bounds={"folds_percent": 0.3}, seed=0)
        pool = FaultyPool(spec, faults or {}, shares=shares)
        journal = Journal(folder, Ledger(folder / "cost.jsonl"), MemoryTracker())
        place = run_rounds(driver, pool, journal, resume=resume)
        return SimpleNamespace(driver=driver, place=place, journal=journal, folder=folder)

    return run


def result(run):
    upper = run.driver.upper
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in run.journal.rows]
    return upper.alpha.tolist(), upper.loss_weights.named(), rows, run.place


def same(run, expected) -> None:
    *values, place = result(run)
    *others, other = result(expected)
    assert values == others
    for name, weights in other.workers["weights"].items():
        np.testing.assert_array_equal(place.workers["weights"][name], weights)


def wasted(run) -> float:
    return run.journal.ledger.totals()["search"]["wasted_seconds"]


def test_lost_rounds_are_done_again_to_the_same_result(search):
    expected = search(name="calm")
    lost = WorkerError("worker 0: lost")
    run = search({0: [lost], 2: [lost, lost], 3: [lost]})
    same(run, expected)
    assert wasted(run) > 0
    assert wasted(expected) == 0


def test_every_round_is_booked_once_and_faults_are_wasted(search):
    run = search({1: [WorkerError("worker 0: lost")] * 3})
    rows = run.journal.ledger.to_frame()
    useful = rows[rows["device_seconds"] > 0]["key"].tolist()
    assert useful == [f"{verb} {n + (verb == 'save')}" for n in range(4) for verb in ("round", "save")]
    assert rows[rows["wasted_seconds"] > 0]["key"].tolist() == ["round 1"] * 3


def test_too_many_losses_in_a_row_end_the_search_which_then_goes_on(search):
    with pytest.raises(WorkerError, match="lost"):
        search({2: [WorkerError("worker 0: lost")] * 6})
    same(search(resume=True), search(name="calm"))


def test_divergence_steps_back_with_smaller_steps_and_is_remembered(search, caplog):
    with caplog.at_level(logging.WARNING):
        run = search({1: [DivergedError("weights", 1, 2)]})
    assert [row["step_scale"] for row in run.journal.rows] == [1.0, 0.5, 0.5, 0.5]
    assert "steps of 0.5" in caplog.text
    fresh = search(name="calm")
    assert fresh.journal.rows[0]["train_objective"] == run.journal.rows[0]["train_objective"]
    assert fresh.journal.rows[2]["train_objective"] != run.journal.rows[2]["train_objective"]
    assert all(np.isfinite(w).all() for w in run.place.workers["weights"].values())


def test_divergence_without_end_is_a_failure_with_the_state_saved(search):
    with pytest.raises(DivergedError, match="round 2"):
        search({2: [DivergedError("weights", 2, 4)] * 4})
    again = search(resume=True)
    same(again, search(name="calm"))  # what diverged was ours to invent; the saved state is the one before it


def test_weights_that_are_not_finite_are_never_saved(search):
    def poison(pool, reports):
        next(iter(pool.worker.shares[0].network.parameters())).data.fill_(float("nan"))
        return reports

    run = search({1: [poison]})
    assert run.journal.rows[1]["step_scale"] == 0.5
    assert all(np.isfinite(w).all() for w in run.place.workers["weights"].values())


def test_an_objective_that_explodes_is_a_divergence(search):
    def explode(pool, reports):
        return [replace(report, terms=1e6 * report.terms) for report in reports]

    run = search({2: [explode]})
    assert [row["step_scale"] for row in run.journal.rows] == [1.0, 1.0, 0.5, 0.5]
    with pytest.raises(DivergedError, match=r"exploded to .* \(at first .*\) in round 1, step 3"):
        search({1: [explode] * 4}, name="without end")


def test_terms_of_any_scale_may_grow_as_long_as_they_stay_near_where_they_began():
    task = SimpleNamespace(index=3, first_step=6, learning_rates=(1, 1), loss_weights=np.array([1.0, 0.0]))
    for at_first, now in ((1e-9, 9.0), (500.0, 4000.0), (0.5, 0.4)):
        check_bounded(np.array([now, 1e9]), np.array([at_first, 0.0]), task)
    for at_first, now in ((1e-9, 11.0), (500.0, 6000.0)):
        with pytest.raises(DivergedError, match="round 3, step 7"):
            check_bounded(np.array([now, 0.0]), np.array([at_first, 0.0]), task)


def test_a_hypergradient_that_is_not_finite_moves_nothing(search):
    from autoreg.workers.messages import complete

    def poison(pool, reports):
        bad = replace(reports[0], alpha_direct=np.full_like(reports[0].alpha_direct, np.nan))
        return complete([bad], SimpleNamespace(index=1, first_step=2, learning_rates=(1, 1)), 1)

    run = search({1: [poison]})
    assert run.driver.upper.alpha.isfinite().all()
    assert run.journal.rows[1]["step_scale"] == 0.5


def test_memory_that_ran_out_makes_smaller_shares_of_the_same_batch(search, caplog):
    run = search({1: [MemoryExhaustedError("worker 0: no memory")] * 2})
    assert [row["shares"] for row in run.journal.rows] == [1, 4, 4, 4]
    assert "the same batches in 2 shares" in caplog.text
    calm = search(name="calm")
    for row, expected in zip(run.journal.rows, calm.journal.rows, strict=True):
        assert row["train_objective"] == pytest.approx(expected["train_objective"], rel=1e-3)


def test_a_resumed_search_keeps_its_shares(search):
    expected = search({1: [MemoryExhaustedError("no memory")]}, name="calm")
    with pytest.raises(WorkerError):
        search({1: [MemoryExhaustedError("no memory")], 2: [WorkerError("lost")] * 6})
    same(search(resume=True), expected)


def test_no_memory_for_a_single_pair_is_a_clear_failure(search):
    with pytest.raises(MemoryExhaustedError, match=r"one pair is the smallest.*smaller volumes"):
        search({1: [MemoryExhaustedError("no memory")] * 3})


def test_a_row_that_a_kill_kept_from_the_history_comes_with_the_resume(search):
    whole = pd.read_parquet(search().folder / "history.parquet")
    (search(resume=True).folder / "history.parquet").unlink()
    pd.testing.assert_frame_equal(pd.read_parquet(search(resume=True).folder / "history.parquet"), whole)


def test_a_full_disk_ends_the_search_with_the_last_state(search, monkeypatch):
    expected = search(name="calm")
    real, calls = rounds_module.save_checkpoint, []

    def full(folder, *rest, **options):
        calls.append(1)
        if len(calls) == 3:
            raise StorageError(f"{folder}: cannot be written: No space left on device")
        return real(folder, *rest, **options)

    monkeypatch.setattr(rounds_module, "save_checkpoint", full)
    with pytest.raises(StorageError, match="No space"):
        search()
    same(search(resume=True), expected)

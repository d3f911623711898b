from pathlib import Path

import pytest

from autoreg.baselines.books import Books, trial_folder
from autoreg.baselines.record import DIVERGED, FINISHED, STOPPED, Record
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.tracker import MemoryTracker

PARAMETERS = {"learning_rate": 0.01}
ROUNDS = 4


def open_books(folder: Path, seen: list[tuple[int, int, int]] | None = None) -> Books:
    record = Record(folder / "trials.parquet", ["learning_rate"])

    def progress(done, total, said):
        if seen is not None:
            seen.append((done, total, said["trials_ended"]))

    return Books(folder / "trials", 3, ROUNDS, record, Ledger(folder / "cost.jsonl"), MemoryTracker("study"), progress)


def spend(folder: Path, number: int, useful: float, wasted: float) -> None:
    ledger = Ledger(trial_folder(folder / "trials", number) / "cost.jsonl")
    ledger.add("train", "cpu", useful, wasted_seconds=wasted, key="round 0")


def test_a_trial_is_recorded_booked_and_tracked(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    books = open_books(tmp_path, seen)
    spend(tmp_path, 0, useful=4.0, wasted=1.0)

    books.start(0, PARAMETERS)
    books.score(0, 2, 0.5)
    books.end(0, FINISHED, {"score": 0.6, "val_dice": 0.61}, round_index=4)

    row, run = books.record.rows[0], books.tracker.children[0]
    assert (row.status, row.metrics["score"], row.device_seconds) == (FINISHED, 0.6, 5.0)
    assert books.ledger.totals() == {"trials": {"device_seconds": 4.0, "wasted_seconds": 1.0}}
    assert run.history["quality/score"] == {2: 0.5}
    assert run.history["result/score"] == {4: 0.6}
    assert run.history["cost/total_device_seconds"] == {4: 5.0}
    assert run.stored_params == {"learning_rate": "0.01"}
    assert run.stored_tags["trial"] == "0"
    assert seen == [(2, 12, 0), (4, 12, 1)]


@pytest.mark.parametrize(("status", "run_status"), [(FINISHED, "FINISHED"), (STOPPED, "KILLED"), (DIVERGED, "FAILED")])
def test_the_nested_run_ends_as_the_trial_did(tmp_path: Path, status: str, run_status: str) -> None:
    books = open_books(tmp_path)
    books.start(0, PARAMETERS)
    books.end(0, status, {}, round_index=1)

    assert books.tracker.children[0].status == run_status
    assert books.record.rows[0].status == status


def test_a_retried_trial_has_one_run(tmp_path: Path) -> None:
    books = open_books(tmp_path)
    books.start(0, PARAMETERS)
    books.start(0, PARAMETERS)

    assert len(books.tracker.children) == 1


def test_a_kill_before_the_record_books_the_trial_once(tmp_path: Path) -> None:
    books = open_books(tmp_path)
    books.start(1, PARAMETERS)
    spend(tmp_path, 1, useful=4.0, wasted=0.0)
    books._book(1)  # the process dies here

    again = open_books(tmp_path)
    again.start(1, PARAMETERS)
    again.end(1, FINISHED, {"score": 0.6}, round_index=4)

    assert again.ledger.totals() == {"trials": {"device_seconds": 4.0, "wasted_seconds": 0.0}}
    assert again.record.rows[1].device_seconds == 4.0

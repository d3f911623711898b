from pathlib import Path

import pytest

from autoreg.baselines.record import DIVERGED, FINISHED, STOPPED, WORST_SCORE, Record, TrialRow
from autoreg.errors import InputError

NAMES = ["learning_rate", "primitive"]
PARAMETERS = {"learning_rate": 0.1 + 0.2, "primitive": "conv3"}


def row(trial: int, status: str, score: float | None = None) -> TrialRow:
    return TrialRow(trial, PARAMETERS, status, {} if score is None else {"score": score}, 1.5, f"run{trial}")


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    rows = [row(0, FINISHED, 0.7), row(1, DIVERGED), TrialRow(2, PARAMETERS)]
    record = Record(tmp_path / "trials.parquet", NAMES)
    for one in rows:
        record.write(one)

    again = Record(tmp_path / "trials.parquet", NAMES)

    assert list(again.rows.values()) == rows
    assert [one.trial for one in again.ended()] == [0, 1]


def test_a_row_replaces_the_trial_s_earlier_one(tmp_path: Path) -> None:
    record = Record(tmp_path / "trials.parquet", NAMES)
    record.write(TrialRow(0, PARAMETERS))
    record.write(row(0, FINISHED, 0.5))

    assert record.to_frame()["status"].tolist() == [FINISHED]
    assert [file.name for file in tmp_path.iterdir()] == ["trials.parquet"]


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([row(0, FINISHED, 0.5), row(1, FINISHED, 0.7), row(2, FINISHED, 0.7)], 1),
        ([row(0, FINISHED, -3.0), row(1, STOPPED, 0.9), row(2, DIVERGED)], 0),
        ([row(0, FINISHED), row(1, DIVERGED)], None),
        ([], None),
    ],
)
def test_best_is_the_best_of_those_with_a_model(tmp_path: Path, rows: list[TrialRow], best: int | None) -> None:
    record = Record(tmp_path / "trials.parquet", NAMES)
    for one in rows:
        record.write(one)

    found = record.best()

    assert (found.trial if found else None) == best


def test_a_trial_without_a_score_is_told_as_the_worst() -> None:
    assert row(0, DIVERGED).told == WORST_SCORE
    assert row(0, FINISHED, float("nan")).told == WORST_SCORE
    assert row(0, FINISHED, 0.25).told == 0.25


def test_another_study_s_record_is_refused(tmp_path: Path) -> None:
    Record(tmp_path / "trials.parquet", NAMES).write(row(0, FINISHED, 0.5))

    with pytest.raises(InputError, match=r"expected a study of learning_rate, got learning_rate, primitive"):
        Record(tmp_path / "trials.parquet", ["learning_rate"])

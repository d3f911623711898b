"""The study's record: what each trial was given and what came of it. A study continues from this file alone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.baselines.ranges import Parameters
from autoreg.errors import InputError
from autoreg.files import whole_file
from autoreg.tables import load_table

RUNNING, FINISHED, STOPPED, DIVERGED, FAILED = "running", "finished", "stopped", "diverged", "failed"
"""Status of a trial: under way, trained to the end, ended early for its score, not finite, lost for another reason."""

WORST_SCORE = -100.0
"""No Dice and every voxel folded: what the sampler is told of a trial without a score, so that it looks elsewhere."""


@dataclass(frozen=True)
class TrialRow:
    """One trial."""

    trial: int
    parameters: Parameters
    status: str = RUNNING
    metrics: Mapping[str, float] = field(default_factory=dict)
    """score, val_dice and folds_percent; empty without a result."""
    device_seconds: float = 0.0
    """Useful and wasted."""
    mlflow_run_id: str | None = None

    @property
    def ended(self) -> bool:
        return self.status != RUNNING

    @property
    def told(self) -> float:
        """The score as the sampler knows it."""
        score = self.metrics.get("score", float("nan"))
        return score if score == score else WORST_SCORE


class Record:
    """Rows of a study in a Parquet file, which is replaced as a whole at each change.

    Args:
        path: trials.parquet; read when it is there.
        names: of the parameters.

    Raises:
        InputError: the file belongs to a study of other parameters.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        self._path = path
        self.rows: dict[int, TrialRow] = {}
        if path.exists():
            frame = load_table(path)
            known = [c for c in frame if c not in _COLUMNS]
            if known != names:
                raise InputError(f"{path}: expected a study of {', '.join(names)}, got {', '.join(known)}")
            self.rows = {row.trial: row for row in (_from_plain(values, names) for values in frame.to_dict("records"))}

    def write(self, row: TrialRow) -> None:
        """Keep a row, on disk before this returns; it replaces the trial's earlier one."""
        self.rows[row.trial] = row
        with whole_file(self._path) as file:
            self.to_frame().to_parquet(file, index=False)

    def ended(self) -> list[TrialRow]:
        """Trials that need no more work, by number."""
        return [row for _, row in sorted(self.rows.items()) if row.ended]

    def best(self) -> TrialRow | None:
        """The finished trial with the best score, the earlier one of equals; None when there is none."""
        scored = [row for row in self.ended() if row.status == FINISHED and row.told > WORST_SCORE]
        return max(scored, key=lambda row: row.told, default=None)

    def to_frame(self) -> pd.DataFrame:
        """A row a trial, by number."""
        return pd.DataFrame([_to_plain(row) for _, row in sorted(self.rows.items())])


_METRICS = ("score", "val_dice", "folds_percent")
_COLUMNS = ("trial", "status", *_METRICS, "device_seconds", "mlflow_run_id")


def _to_plain(row: TrialRow) -> dict[str, Any]:
    values = asdict(row)
    metrics = {name: row.metrics.get(name, float("nan")) for name in _METRICS}
    return {name: (values | metrics)[name] for name in _COLUMNS} | row.parameters


def _from_plain(values: Mapping[Any, Any], names: list[str]) -> TrialRow:
    return TrialRow(
        trial=values["trial"],
        parameters={name: values[name] for name in names},
        status=values["status"],
        metrics={name: values[name] for name in _METRICS if values[name] == values[name]},
        device_seconds=values["device_seconds"],
        mlflow_run_id=values["mlflow_run_id"] if isinstance(values["mlflow_run_id"], str) else None,
    )

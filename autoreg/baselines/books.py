"""What the study's process writes as trials come and go: record, ledger, nested runs, progress."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoreg.baselines.record import DIVERGED, FAILED, FINISHED, STOPPED, Record, TrialRow
from autoreg.mirror import share
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.names import tracked_name
from autoreg.tracking.tracker import Tracker

PHASE = "trials"
_RUN_STATUS = {FINISHED: "FINISHED", STOPPED: "KILLED", DIVERGED: "FAILED", FAILED: "FAILED"}


@dataclass
class Books:
    """The books of a study, safe against a kill between any two lines: each entry is made once.

    The record comes last. A trial that a kill kept from it is started again, and what the others have of it is
    found there by ledger key, run id and metric step.
    """

    folder: Path
    """Of the trials' own folders."""
    total: int
    """Trials of the study."""
    rounds: int
    """Of a trial that is not ended early."""
    record: Record
    ledger: Ledger
    tracker: Tracker
    progress: Callable[[int, int, Mapping[str, Any]], None]
    """Called with rounds done, rounds of all trials, and what to say of them."""
    _done: dict[int, int] = field(default_factory=dict)
    """Rounds of the trials under way."""
    _runs: dict[int, Tracker] = field(default_factory=dict)

    def start(self, number: int, parameters: Mapping[str, Any]) -> None:
        """A trial starts, starts again after a fault, or is continued."""
        if number in self._runs:
            return
        row = self.record.rows.get(number) or TrialRow(number, dict(parameters))
        run = self.tracker.child(f"trial {number}", run_id=row.mlflow_run_id, tags={"trial": number})
        self.record.write(replace(row, mlflow_run_id=run.run_id))
        run.params(parameters)
        weights = {f"result/{name}": float(v) for name, v in parameters.items() if name.startswith("lambda.")}
        run.metrics(weights, step=0)
        self._runs[number] = run

    def score(self, number: int, round_index: int, score: float) -> None:
        """A trial under way was scored."""
        self._runs[number].metrics({tracked_name("score"): score}, step=round_index)
        self._runs[number].flush()
        self._done[number] = max(round_index, self._done.get(number, 0))
        self._tell()

    def end(self, number: int, status: str, metrics: Mapping[str, float], *, round_index: int) -> None:
        """A trial came to its end, good or bad."""
        seconds = self._book(number)
        run = self._runs.pop(number)
        told = {f"result/{name}": value for name, value in metrics.items()} | {"cost/total_device_seconds": seconds}
        run.metrics(told, step=round_index)
        run.tags({"status": status})
        run.close(_RUN_STATUS[status])
        row = self.record.rows[number]
        self.record.write(replace(row, status=status, metrics=metrics, device_seconds=seconds))
        share(self.folder)
        self._done.pop(number, None)
        self._tell()

    def mark_best(self, number: int) -> None:
        """Say on a trial's run that nothing was better."""
        run = self.tracker.child(f"trial {number}", run_id=self.record.rows[number].mlflow_run_id, tags={"best": "yes"})
        run.close(_RUN_STATUS[FINISHED])

    def _tell(self) -> None:
        """One ended early counts as whole: the bar is of what is left."""
        ended, best = len(self.record.ended()), self.record.best()
        said = {"trials_ended": ended, "trials": self.total} | ({"best_score": best.told} if best else {})
        self.progress(ended * self.rounds + sum(self._done.values()), self.total * self.rounds, said)

    def _book(self, number: int) -> float:
        """Device-seconds of a trial from its own ledger, useful and wasted, now also in the study's."""
        return self.ledger.take_over(trial_folder(self.folder, number) / "cost.jsonl", PHASE, key=f"trial {number}")


def trial_folder(folder: Path, number: int) -> Path:
    """Folder of a trial below that of all trials."""
    return folder / f"{number:03d}"

"""What a run is doing or has done, from its files alone, whatever state they are in."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from time import time
from typing import Any, TypeVar

import pandas as pd

from autoreg.baselines.record import FINISHED, RUNNING
from autoreg.config import read_yaml
from autoreg.errors import InputError
from autoreg.reporting.console import clock
from autoreg.search.run import is_worked_on, read_result
from autoreg.tables import load_table
from autoreg.tracking.ledger import open_work, read_costs

_LEFT_BY_RUNS = ("result.json", "config.yaml", "history.parquet", "cost.jsonl", "checkpoints")
_RESUMED = ("search", "train", "tune")
T = TypeVar("T")


@dataclass
class Status:
    """What could be found out. None: not known, or it does not apply.

    Attributes:
        state: running, finished, failed or interrupted as the run says; killed if it says running and nobody works
            in its folder; damaged if it cannot say.
        trials_done: of manual tuning or of a sweep: ended, whatever came of them.
        dice: the last one measured on held pairs: of whole volumes while training, soft while searching, of the best
            trial while tuning.
        workers: of the work under way, or of the last round.
        seconds_left: at the pace of the last rounds.
        seconds_silent: since the last sign of life.
        problems: files that cannot be read.
    """

    folder: str
    state: str
    command: str | None = None
    dataset: str | None = None
    rounds_done: int | None = None
    rounds_total: int | None = None
    seconds_left: float | None = None
    trials_done: int | None = None
    trials_total: int | None = None
    loss_weights: dict[str, float] = field(default_factory=dict)
    dice: float | None = None
    device_hours: float | None = None
    workers: int | None = None
    seconds_silent: float | None = None
    mlflow_run: str | None = None
    mlflow_store: str | None = None
    resume: str | None = None
    problems: list[str] = field(default_factory=list)

    def text(self) -> dict[str, str]:
        """As people read it: only what is known."""
        rounds = f"{self.rounds_done} of {self.rounds_total or '?'}" if self.rounds_done is not None else None
        told = {
            "state": self.state,
            "command": self.command,
            "data set": self.dataset,
            "rounds": rounds,
            "trials": f"{self.trials_done} of {self.trials_total or '?'}" if self.trials_done is not None else None,
            "about left": clock(self.seconds_left) if self.seconds_left is not None else None,
            "lambda": ", ".join(f"{k} {v:.3g}" for k, v in self.loss_weights.items()),
            "Dice": f"{self.dice:.4f}" if self.dice is not None else None,
            "device-hours": f"{self.device_hours:.3f}" if self.device_hours is not None else None,
            "workers": str(self.workers) if self.workers else None,
            "last sign": f"{clock(self.seconds_silent)} ago" if self.seconds_silent is not None else None,
            "MLflow run": f"{self.mlflow_run} in {self.mlflow_store}" if self.mlflow_run else None,
            "problems": "; ".join(self.problems),
            "go on": self.resume,
        }
        return {name: value for name, value in told.items() if value}


def read_status(folder: Path) -> Status:
    """The status of a run's folder. Raises InputError when nothing there is a run's."""
    folder = Path(folder)
    if not any((folder / name).exists() for name in _LEFT_BY_RUNS):
        raise InputError(f"{folder}: expected the folder of an autoreg run, got none of {', '.join(_LEFT_BY_RUNS)}")
    status = Status(str(folder), "damaged")
    _add_result(status, folder)
    _add_history(status, folder)
    _add_trials(status, folder)
    _add_costs(status, folder)
    if status.command in _RESUMED and status.state in ("killed", "failed", "interrupted"):
        status.resume = f"autoreg {status.command} --resume {quote(str(folder))}"
    return status


def _read(status: Status, read: Callable[[], T], missing: T, path: Path) -> T:
    """What a reader gives; a file that it cannot read becomes a problem."""
    try:
        return read()
    except (InputError, OSError, ValueError) as error:  # pyarrow's and json's errors are ValueErrors
        reason = " ".join(str(error).split())
        status.problems.append(reason if str(path) in reason else f"{path}: {reason}")
        return missing


def _add_result(status: Status, folder: Path) -> None:
    result: dict[str, Any] = _read(status, lambda: read_result(folder), {}, folder / "result.json")
    alive = is_worked_on(folder)
    if result:
        says = str(result.get("status", "damaged"))
        status.state = "killed" if says == "running" and not alive else says
    status.command, status.dataset = result.get("command"), result.get("dataset")
    status.mlflow_run, status.mlflow_store = result.get("mlflow_run_id"), result.get("mlflow_tracking_uri")
    status.loss_weights = result.get("loss_weights") or {}
    status.dice = (result.get("metrics") or {}).get("val_dice")


def _add_history(status: Status, folder: Path) -> None:
    path = folder / "history.parquet"
    if not path.exists():
        return
    rows = _read(status, lambda: load_table(path), pd.DataFrame(), path)
    config = _read(status, lambda: read_yaml(folder / "config.yaml"), {}, folder / "config.yaml")
    status.rounds_done = len(rows)
    status.rounds_total = _rounds(config.get(status.command or "") or {})
    if not len(rows):
        return
    status.workers = int(rows["workers"].iloc[-1])
    if status.state != "finished" and status.rounds_total:
        status.seconds_left = (status.rounds_total - len(rows)) * float(rows["seconds"].tail(20).mean())
    if not status.loss_weights:
        names = [str(name) for name in rows if str(name).startswith("lambda.")]
        status.loss_weights = {name.removeprefix("lambda."): float(rows[name].iloc[-1]) for name in names}
    if status.dice is None:
        measured = [rows[name].dropna() for name in ("val_dice", "soft_dice") if name in rows]
        status.dice = next((float(values.iloc[-1]) for values in measured if len(values)), None)


def _add_trials(status: Status, folder: Path) -> None:
    path = folder / "trials.parquet"
    if not path.exists():
        return
    rows = _read(status, lambda: load_table(path), None, path)
    if rows is None:
        return
    config = _read(status, lambda: read_yaml(folder / "config.yaml"), {}, folder / "config.yaml")
    status.trials_done = int((rows["status"] != RUNNING).sum())
    status.trials_total = (config.get(status.command or "") or {}).get("trials")
    finished = rows[rows["status"] == FINISHED].dropna(subset=["score"])
    if status.dice is None and len(finished):
        status.dice = float(finished.loc[finished["score"].idxmax(), "val_dice"])


def _rounds(section: dict[str, Any]) -> int | None:
    if "rounds" in section:
        return int(section["rounds"])
    return -(-section["steps"] // section["steps_per_round"]) if "steps_per_round" in section else None


def _add_costs(status: Status, folder: Path) -> None:
    path = folder / "cost.jsonl"
    costs = _read(status, lambda: read_costs(path), None, path)
    if costs is not None:
        status.device_hours = float(costs[["device_seconds", "wasted_seconds"]].to_numpy().sum()) / 3600
    work = open_work(path)
    if status.state == "running" and work:
        status.workers = int(work["devices"])
    signs = [folder / name for name in ("history.parquet", "cost.jsonl", "cost.open.json")]
    beats = [p.stat().st_mtime for p in (*signs, *folder.glob("trials/*/history.parquet")) if p.exists()]
    if status.state != "finished" and beats:
        status.seconds_silent = max(time() - max(beats), 0.0)


def as_json(status: Status) -> str:
    """One JSON object, keys as the attributes."""
    return json.dumps(status.__dict__, indent=2)

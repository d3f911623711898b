"""What does the search cost beside tuning by hand?"""

from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from autoreg.config import Config
from autoreg.reporting.figures import cost_by_trials
from autoreg.reporting.folders import read_table
from autoreg.studies.shared import Bench
from autoreg.studies.study import Study
from autoreg.studies.system import AUTOREG, Made, Outcome, System, searched

_COLUMNS = ("trial", "status", "score", "device_seconds")


def first_trials(bench: Bench, n: int) -> Made:
    """The best by validation of the first n trials of one study, at the cost of n trials and a training.

    A trial is a full training, so training the chosen parameters again would give the same weights: it is not
    repeated, and counts what that trial cost.
    """
    from autoreg.baselines.books import trial_folder  # Optuna takes a second to import
    from autoreg.baselines.record import FINISHED

    study = bench.tune()
    trials = _trials(study).head(n)
    scored = trials[(trials["status"] == FINISHED) & trials["score"].notna()]
    if scored.empty:
        return f"none of the first {n} trials gave a model"
    best = scored.loc[scored["score"].idxmax()]
    folder = bench.evaluated(trial_folder(study / "trials", int(best["trial"])))
    seconds = {"trials": float(trials["device_seconds"].sum()), "train": float(best["device_seconds"])}
    return Outcome(folder, seconds)


def _trials(study: Path) -> pd.DataFrame:
    tune = f"autoreg tune {study}/config.yaml --resume --output {study}"
    return read_table(study / "trials.parquet", _COLUMNS, command=tune).sort_values("trial")


def _name(n: int) -> str:
    return f"{n} trial{'s' if n > 1 else ''} + training"


def _systems(config: Config) -> list[System]:
    manual = [System(_name(n), partial(first_trials, n=n)) for n in range(1, config.tune.trials + 1)]
    return [searched(), *manual]


def by_trials(table: pd.DataFrame) -> pd.DataFrame:
    """The manual rows of a task, with n: 1 to the number of trials."""
    names = {_name(n): n for n in range(1, len(table) + 1)}
    return table.assign(n=table["system"].map(names)).dropna(subset=["n", "total_device_seconds"])


def break_even(table: pd.DataFrame) -> float:
    """How many trials and a training cost as much as search and training, for a task's rows; NaN where a row lacks.

    Both costs are means over seeds. A trial costs the mean of all trials, so beyond them this extrapolates.
    """
    automatic = table.loc[table["system"] == AUTOREG, "total_device_seconds"]
    manual = by_trials(table)
    if automatic.empty or manual.empty:
        return float("nan")
    last = manual.iloc[-1]
    a_trial = last["trials_device_seconds"] / last["n"]
    return float((automatic.iloc[0] - last["train_device_seconds"]) / a_trial)


def _findings(table: pd.DataFrame) -> list[str]:
    lines = []
    for task, rows in table.groupby("task", sort=False):
        n = break_even(rows)
        if n != n:
            continue
        own = rows[rows["system"] == AUTOREG].iloc[0]
        manual = by_trials(rows)
        most = int(manual["n"].max())
        seconds = f"{own['total_device_seconds']:.0f} device-seconds (search {own['search_device_seconds']:.0f})"
        reach = f" (beyond n = {most}, from the mean cost of a trial)" if n > most else ""
        lines.append(f"{task}: search and training cost {seconds}, as much as {n:.2f} trials and a training{reach}")
        equal = manual[manual["dice"] >= own["dice"]]
        reached = f"n = {int(equal['n'].iloc[0])}" if len(equal) else f"no n up to {most}"
        lines.append(f"{task}: the test Dice of {AUTOREG} ({own['dice']:.3f}) is reached by hand at {reached}")
    return lines


def _picture(table: pd.DataFrame, pairs: pd.DataFrame) -> Figure:
    manual = {str(task): by_trials(rows) for task, rows in table.groupby("task", sort=False)}
    return cost_by_trials(manual, table[table["system"] == AUTOREG])


COST = Study(
    "cost",
    "Search and training against n trials by hand and a training",
    _systems,
    findings=_findings,
    picture=_picture,
)

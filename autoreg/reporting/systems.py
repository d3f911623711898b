"""Evaluated run folders that can be compared: read, and checked to be about the same pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.errors import InputError
from autoreg.reporting.folders import read_result, read_table

_PAIR_COLUMNS = ("fixed", "moving", "label", "dice", "hd95_mm", "folds_percent", "sdlogj", "seconds")
_TRIAL_COLUMNS = ("trial", "score", "val_dice", "device_seconds", "status")


@dataclass(frozen=True)
class System:
    """One evaluated run folder.

    Attributes:
        pairs: a row a pair and label: fixed, moving, label, dice and more.
        by_pair: a row a (fixed, moving) pair: dice, hd95_mm (means over labels), folds_percent, sdlogj, seconds,
            and with landmarks tre_mm.
        trials: of a tuning study; None for a trained system.
    """

    name: str
    folder: Path
    result: dict[str, Any]
    evaluation: dict[str, Any]
    labels: frozenset[int]
    pairs: pd.DataFrame
    by_pair: pd.DataFrame
    trials: pd.DataFrame | None

    @property
    def device_seconds(self) -> dict[str, float]:
        """By phase, lost work included, and that of the runs this one builds on."""
        return {phase: float(seconds) for phase, seconds in (self.result.get("device_seconds") or {}).items()}

    @property
    def val_dice(self) -> float | None:
        return (self.result.get("metrics") or {}).get("val_dice")

    @property
    def total_seconds(self) -> float:
        return sum(self.device_seconds.values())

    @property
    def wasted_seconds(self) -> float:
        return float(sum((self.result.get("wasted_seconds") or {}).values()))


def read_systems(run_dirs: Sequence[Path]) -> list[System]:
    """The systems of evaluated run folders; those that share a name get their folder added.

    Raises:
        InputError: a file is missing (with the command that makes it), or the systems were not evaluated on
            the same pairs, labels and data.
    """
    if not run_dirs:
        raise InputError("compare: expected at least one evaluated run folder, got none")
    names = [str(read_result(Path(folder)).get("name", Path(folder).name)) for folder in run_dirs]
    unique = [
        f"{name} ({folder})" if names.count(name) > 1 else name for name, folder in zip(names, run_dirs, strict=True)
    ]
    systems = [_read(Path(folder), name) for folder, name in zip(run_dirs, unique, strict=True)]
    for system in systems[1:]:
        _check_alike(system, systems[0])
    return systems


def _read(folder: Path, name: str) -> System:
    result = read_result(folder)
    evaluate = f"autoreg evaluate {folder} --dataset D.json --split test"
    pairs = read_table(folder / "test" / "pairs.parquet", _PAIR_COLUMNS, command=evaluate)
    trials = None
    if result.get("command") == "tune":
        tune = f"autoreg tune {folder}/config.yaml --resume --output {folder}"
        trials = read_table(folder / "trials.parquet", _TRIAL_COLUMNS, command=tune)
    return System(
        name=name,
        folder=folder,
        result=result,
        evaluation=read_result(folder / "test"),
        labels=frozenset(pairs["label"].astype(int)),
        pairs=pairs,
        by_pair=pairs.drop(columns="label").groupby(["fixed", "moving"]).mean(numeric_only=True),
        trials=trials,
    )


def _check_alike(system: System, first: System) -> None:
    where = system.folder / "test" / "pairs.parquet"
    different = set(system.by_pair.index) ^ set(first.by_pair.index)
    if different:
        fixed, moving = min(different)
        raise InputError(
            f"{where}: pairs: expected those of {first.folder}, got {len(different)} that only one of the two has, "
            f"such as fixed {fixed}, moving {moving}"
        )
    if system.labels != first.labels:
        expected, got = sorted(first.labels), sorted(system.labels)
        raise InputError(f"{where}: label: expected {expected} as {first.folder}, got {got}")
    hashes = [s.evaluation.get("dataset_hash") for s in (first, system)]
    if None not in hashes and hashes[0] != hashes[1]:
        raise InputError(f"{where}: data set: expected hash {hashes[0]} as {first.folder}, got {hashes[1]}")

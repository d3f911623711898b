"""Files of small run folders, as the commands leave them."""

import json
from pathlib import Path

import pandas as pd

PAIRS = [("s1", "s2"), ("s1", "s3"), ("s2", "s3"), ("s2", "s1"), ("s3", "s1"), ("s3", "s2")]
FIELDS = {"seed": 0, "dataset": "toy", "dataset_hash": "abc", "mlflow_run_id": None, "mlflow_tracking_uri": None}


def pair_rows(dice, *, pairs=PAIRS, labels=(1, 2)) -> pd.DataFrame:
    """pairs.parquet: pair i has mean Dice dice[i], label 1 above it by 0.1 and label 2 below."""
    rows = [
        {"fixed": f, "moving": m, "label": label, "dice": value + (0.1 if label == 1 else -0.1), "hd95_mm": 2.0,
         "initial_dice": 0.5, "initial_hd95_mm": 4.0, "folds_percent": 0.25, "sdlogj": 0.1, "seconds": 1.0 + i}
        for i, ((f, m), value) in enumerate(zip(pairs, dice, strict=True)) for label in labels
    ]  # fmt: skip
    return pd.DataFrame(rows)


def write_result(folder: Path, **fields: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"status": "finished", "name": folder.name, **FIELDS} | fields))


def write_evaluated(
    home: Path, name: str, dice, seconds: dict[str, float], *, command: str = "train", rows=None, **fields: object
) -> Path:
    """An evaluated run folder below `home`, from the Dice of the six pairs and device-seconds by phase."""
    folder = home / name
    write_result(folder, command=command, device_seconds=seconds, **{"metrics": {"val_dice": 0.7}} | fields)
    write_result(folder / "test", command="evaluate", metrics={})
    (pair_rows(dice) if rows is None else rows).to_parquet(folder / "test" / "pairs.parquet")
    return folder


def write_tuned(home: Path) -> Path:
    """A study of three finished trials of 100 device-seconds each, and one stopped after 20."""
    folder = write_evaluated(home, "optuna", [0.7] * 6, {"trials": 320.0}, command="tune")
    trials = {
        "trial": [0, 1, 2, 3],
        "status": ["finished", "finished", "finished", "stopped"],
        "score": [0.6, 0.7, 0.65, 0.9],
        "val_dice": [0.6, 0.72, 0.66, float("nan")],
        "device_seconds": [100.0, 100.0, 100.0, 20.0],
        "learning_rate": [1e-3, 2e-3, 3e-3, 4e-3],
    }
    pd.DataFrame(trials).to_parquet(folder / "trials.parquet")
    return folder

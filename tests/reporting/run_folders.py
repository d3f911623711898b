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
         "initial_dice": 0.5, "folds_percent": 0.25, "sdlogj": 0.1, "seconds": 1.0 + i}
        for i, ((f, m), value) in enumerate(zip(pairs, dice, strict=True)) for label in labels
    ]  # fmt: skip
    return pd.DataFrame(rows)


def write_result(folder: Path, **fields: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"status": "finished", "name": folder.name, **FIELDS} | fields))

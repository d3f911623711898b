"""Small run folders with real files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import pair_rows, write_result


@pytest.fixture
def evaluated(tmp_path):
    """Makes an evaluated run folder: name, Dice of the six pairs, device-seconds by phase."""

    def make(name: str, dice, seconds: dict[str, float], *, command: str = "train", rows=None, **fields) -> Path:
        folder = tmp_path / name
        write_result(folder, command=command, device_seconds=seconds, **{"metrics": {"val_dice": 0.7}} | fields)
        write_result(folder / "test", command="evaluate", metrics={})
        (pair_rows(dice) if rows is None else rows).to_parquet(folder / "test" / "pairs.parquet")
        return folder

    return make


@pytest.fixture
def tuned(evaluated):
    """A study of three finished trials of 100 device-seconds each, and one stopped after 20."""
    folder = evaluated("optuna", [0.7] * 6, {"trials": 320.0}, command="tune")
    trials = {
        "trial": [0, 1, 2, 3],
        "status": ["finished", "finished", "finished", "stopped"],
        "score": [0.6, 0.7, 0.65, 0.9],
        "val_dice": [0.6, 0.72, 0.66, np.nan],
        "device_seconds": [100.0, 100.0, 100.0, 20.0],
        "learning_rate": [1e-3, 2e-3, 3e-3, 4e-3],
    }
    pd.DataFrame(trials).to_parquet(folder / "trials.parquet")
    return folder


@pytest.fixture
def history() -> pd.DataFrame:
    """Six rounds of a search on two edges with three primitives, warm-up first; Dice in every second round."""
    rows = []
    for i in range(6):
        p = 1 / 3 + 0.1 * i
        rest = {"a": p, "b": (1 - p) / 2, "c": (1 - p) / 2}
        rows.append(
            {
                "round": i,
                "phase": "warm-up" if i < 2 else "search",
                "train_objective": 1.0 / (i + 1),
                "architecture_objective": np.nan if i < 2 else 0.5,
                "loss_weights_objective": np.nan if i < 2 else 0.4,
                "val_dice": 0.5 + 0.01 * i if i % 2 else np.nan,
                "alpha_entropy": -sum(v * np.log(v) for v in rest.values()),
                "lambda.lncc": 1.0,
                "lambda.smoothness": 2.0**i,
                **{f"alpha.level1.cell.{e}.{k}": v for e in (0, 1) for k, v in rest.items()},
                "workers": 2,
            }
        )
    return pd.DataFrame(rows)

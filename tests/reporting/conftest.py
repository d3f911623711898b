"""Small run folders with real files."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from run_folders import write_evaluated, write_tuned


@pytest.fixture
def evaluated(tmp_path):
    """`write_evaluated` in this test's folder."""
    return partial(write_evaluated, tmp_path)


@pytest.fixture
def tuned(tmp_path):
    """`write_tuned` in this test's folder."""
    return write_tuned(tmp_path)


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

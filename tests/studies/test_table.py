"""The table by hand: means over seeds before means over pairs, spread over seeds, tests over pairs with Holm."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from autoreg.studies.study import INITIAL
from autoreg.studies.system import Outcome
from autoreg.studies.table import Result, differences, make_table, shown


def scored(system: str, seed: int, dice: list[float], task: str = "brain") -> pd.DataFrame:
    keys = {"task": task, "system": system, "seed": seed, "fixed": [f"f{i}" for i in range(len(dice))], "moving": "m"}
    return pd.DataFrame({**keys, "dice": dice, "hd95_mm": 2.0, "folds_percent": 0.0, "sdlogj": 0.1, "seconds": 0.5})


def result(system: str, seed: int, task: str = "brain", **seconds: float) -> Result:
    return Result(task, system, seed, Outcome(Path("unread"), seconds))


OURS = [[0.70, 0.72, 0.74, 0.76, 0.78, 0.81], [0.80, 0.82, 0.84, 0.86, 0.88, 0.89]]
THEIRS = [0.70, 0.71, 0.72, 0.73, 0.74, 0.75]
CLOSE = [0.75, 0.78, 0.79, 0.80, 0.83, 0.85]


@pytest.fixture
def table() -> pd.DataFrame:
    frames = [scored(INITIAL, 0, [0.5] * 6), *(scored("ours", seed, dice) for seed, dice in enumerate(OURS))]
    frames += [scored("theirs", 0, THEIRS), scored("close", 0, CLOSE)]
    results = [result("ours", 0, search=10.0, train=4.0), result("ours", 1, search=20.0, train=6.0)]
    results += [result("theirs", 0, train=3.0), result("close", 0, register=1.0)]
    return make_table(pd.concat(frames), results, reference="ours").set_index("system")


def test_means_and_spread(table: pd.DataFrame):
    ours = table.loc["ours"]
    assert (ours["seeds"], ours["pairs"]) == (2, 6)
    assert ours["dice"] == pytest.approx(np.mean(OURS))
    assert ours["dice_sd"] == pytest.approx(np.mean(OURS, axis=0).std(ddof=1))
    assert ours["dice_seed_sd"] == pytest.approx(np.mean(OURS, axis=1).std(ddof=1))
    assert np.isnan(table.loc["theirs", "dice_seed_sd"])
    costs = ours[["search_device_seconds", "train_device_seconds", "total_device_seconds"]]
    assert costs.tolist() == [15.0, 5.0, 20.0]
    assert np.isnan(table.loc[INITIAL, "total_device_seconds"])


def test_tests_are_over_pairs_and_adjusted_for_all_of_them(table: pd.DataFrame):
    ours = np.mean(OURS, axis=0)
    p = [wilcoxon(np.array(dice) - ours).pvalue for dice in (THEIRS, CLOSE)]
    assert table.loc["theirs", "difference"] == pytest.approx(np.mean(THEIRS) - ours.mean())
    assert table.loc[["theirs", "close"], "p_value"].tolist() == pytest.approx(p)
    smaller, larger = sorted(p)
    adjusted = sorted(table.loc[["theirs", "close"], "p_holm"])
    assert adjusted == pytest.approx([2 * smaller, max(2 * smaller, larger)])
    assert table.loc[["ours", INITIAL], "p_holm"].isna().all()
    lines = differences(table.reset_index(), "ours")
    assert len(lines) == 2 and lines[0].startswith("brain: theirs - ours: -0.0750 Dice [")


def test_a_reference_is_sought_in_its_own_task():
    frames = [scored("ours", 0, THEIRS), scored("theirs", 0, THEIRS), scored("theirs", 0, CLOSE, task="knee")]
    results = [result("ours", 0), result("theirs", 0), result("theirs", 0, task="knee")]
    table = make_table(pd.concat(frames), results, reference="ours")
    assert table["p_value"].notna().tolist() == [False, True, False]


def test_what_no_system_has_is_not_shown(table: pd.DataFrame):
    readable = shown(table.reset_index())
    assert "trials device-s" not in readable and "search device-s" in readable
    assert readable["Dice (mean ± sd of pairs)"].tolist()[1] == "0.800 ± 0.037"

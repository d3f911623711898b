from pathlib import Path

import pytest

from autoreg.tracking.names import tracked_name
from autoreg.tracking.note import run_note


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("val_dice", "quality/val_dice"),
        ("train_objective", "objective/train"),
        ("lambda.lncc", "lambda/lncc"),
        ("alpha.feature.1.0.conv3", "search_alpha/feature.1.0.conv3"),
        ("alpha_entropy", "search/alpha_entropy"),
        ("device_seconds", "cost/device_seconds"),
        ("cost.params", "budget/params"),
        ("something", "something"),
        ("lambda", "lambda"),
    ],
)
def test_columns_get_their_group(column, name):
    assert tracked_name(column) == name


def test_a_note_answers_which_lambda_which_trial_and_what_it_cost():
    result = {"command": "tune", "metrics": {"val_dice": 0.71234, "folds_percent": None}, "best_trial": 3, "trials": 8,
              "loss_weights": {"lncc": 1.0, "mse": 5.9}, "device_seconds": {"trials": 120.4}}  # fmt: skip
    note = run_note(result, Path("runs/tune-1"))
    assert note.startswith("Validation Dice **0.7123**.")
    assert "Best of 8 trials: **trial 3**." in note
    assert "| mse | 5.9 |" in note
    assert "**120 device-seconds**" in note
    assert "`autoreg evaluate runs/tune-1`" in note


def test_a_note_of_little_says_little():
    assert run_note({}, Path("x")) == "Pictures: artifacts `report.html` and `figures`. Files: `x`."

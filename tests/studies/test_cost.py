"""The break-even point by hand."""

import numpy as np
import pandas as pd
import pytest

from autoreg.studies.cost import COST, break_even, by_trials


def rows(search: float, train: float, trials: list[float], dice: list[float], task: str = "brain") -> pd.DataFrame:
    """AutoReg, then 1 to n trials of these seconds, each with a training as long as its last trial."""
    own = {"system": "AutoReg", "search_device_seconds": search, "train_device_seconds": train, "dice": dice[0]}
    manual = [
        {
            "system": f"{n} trial{'s' if n > 1 else ''} + training",
            "trials_device_seconds": sum(trials[:n]),
            "train_device_seconds": trials[n - 1],
            "dice": dice[n],
        }
        for n in range(1, len(trials) + 1)
    ]
    phases = [f"{phase}_device_seconds" for phase in ("search", "trials", "train")]
    frame = pd.DataFrame([own, *manual], columns=["system", *phases, "dice"]).assign(task=task)
    return frame.assign(total_device_seconds=frame[phases].sum(axis=1))


@pytest.mark.parametrize(
    ("search", "train", "expected"),
    [
        (48.0, 23.0, 48 / 23),  # as published: 48 + 23 hours against 23 n + 23
        (46.0, 23.0, 2.0),
        (230.0, 23.0, 10.0),  # beyond the trials made
    ],
)
def test_break_even(search: float, train: float, expected: float):
    assert break_even(rows(search, train, [23.0, 23.0, 23.0], [0.8, 0.7, 0.7, 0.7])) == pytest.approx(expected)


def test_without_trials_there_is_no_break_even():
    assert np.isnan(break_even(rows(48.0, 23.0, [], [0.8])))


def test_findings_name_the_n_that_is_as_good():
    table = pd.concat(
        [rows(46.0, 23.0, [23.0] * 3, [0.8, 0.7, 0.8, 0.9]), rows(460.0, 23.0, [23.0], [0.8, 0.7], "knee")]
    )
    cost, quality, far, none = COST.findings(table)
    assert (
        cost == "brain: search and training cost 69 device-seconds (search 46), as much as 2.00 trials and a training"
    )
    assert quality == "brain: the test Dice of AutoReg (0.800) is reached by hand at n = 2"
    assert "as much as 20.00 trials and a training (beyond n = 1, from the mean cost of a trial)" in far
    assert none.endswith("by hand at no n up to 1")


def test_the_picture_has_a_line_by_hand_and_one_for_the_search():
    table = rows(46.0, 23.0, [23.0] * 3, [0.8, 0.7, 0.75, 0.78])
    costs, quality = COST.picture(table, pd.DataFrame()).axes
    assert by_trials(table)["n"].tolist() == [1, 2, 3]
    by_hand, automatic = costs.get_lines()
    assert by_hand.get_ydata().tolist() == [46.0, 69.0, 92.0]  # type: ignore[union-attr]
    assert set(automatic.get_ydata()) == {69.0}  # type: ignore[arg-type]
    assert quality.get_lines()[0].get_ydata().tolist() == [0.7, 0.75, 0.78]  # type: ignore[union-attr]

"""Who is trained briefly in the end of a search, and which candidates nothing beats."""

import numpy as np
import pandas as pd
import pytest

from autoreg.config import load_space
from autoreg.networks import Genotype
from autoreg.search.finalists import Finalist, architectures, loss_weights_along
from autoreg.search.front import front_candidates, on_front

SPACE = load_space("tiny", dims=3)
STARTS = {term.name: 1.0 if term.reference else term.start for term in SPACE.terms}
SEARCHED = STARTS | {"smoothness": 0.3}
DEFAULT, OTHER, THIRD = (Genotype.uniform(SPACE.architecture, name) for name in ("conv3", "conv1", "dil3"))


def test_architectures_meet_with_the_searched_loss_weights() -> None:
    found = architectures({"by alpha": OTHER, "by removal": THIRD}, SEARCHED, DEFAULT)
    assert [(f.name, f.genotype) for f in found] == [
        ("by alpha", OTHER),
        ("by removal", THIRD),
        ("default architecture", DEFAULT),
    ]
    assert all(f.loss_weights == SEARCHED for f in found)
    assert [f.name for f in architectures({"by removal": DEFAULT, "by alpha": DEFAULT}, SEARCHED, DEFAULT)] == [
        "by removal"
    ]


def test_loss_weights_go_on_in_the_direction_of_the_search_within_their_ranges() -> None:
    winner = Finalist("by alpha", OTHER, STARTS | {"smoothness": 0.3, "mse": 80.0, "overlap": 3.0})
    starts, near, farther, farthest = (loss_weights_along(SPACE, winner, times) for times in (0, 1, 2, 4))
    assert {f.genotype.edges["feature.1.0"] for f in (starts, near, farther, farthest) if f.genotype} == {"conv1"}
    assert starts.loss_weights == STARTS
    # mse grew 8 times, 640 is out of range; smoothness grows by the root of what grew most
    assert near.loss_weights == pytest.approx(winner.loss_weights | {"smoothness": 0.3 * 8**0.5})
    assert farther.loss_weights == pytest.approx(STARTS | {"smoothness": 2.4, "mse": 100.0, "overlap": 9.0})
    assert farthest.loss_weights == pytest.approx(STARTS | {"smoothness": 19.2, "mse": 100.0, "overlap": 50.0})


def test_loss_weights_that_never_moved_stay() -> None:
    still = Finalist("by alpha", OTHER, STARTS)
    assert all(loss_weights_along(SPACE, still, times).same_as(still) for times in (0, 2, 4))


def test_front_candidates_vary_regularity_within_its_range() -> None:
    found = front_candidates(SPACE, {"chosen": OTHER, "fast": DEFAULT}, STARTS | {"smoothness": 20.0})
    assert [f.name for f in found] == [f"{g} x{x}" for g in ("chosen", "fast") for x in ("0.25", "1", "4")]
    assert [f.loss_weights["smoothness"] for f in found[:3]] == [5.0, 20.0, 50.0]  # 80 is out of range
    assert all(f.loss_weights["mse"] == STARTS["mse"] for f in found)
    once = front_candidates(SPACE, {"chosen": OTHER, "fast": OTHER}, STARTS)
    assert len(once) == 3


def test_the_front_holds_what_nothing_beats() -> None:
    table = pd.DataFrame(
        {
            "dice": [0.80, 0.78, 0.78, 0.75, np.nan],
            "folds_percent": [0.5, 0.1, 0.2, 0.1, 0.0],
            "seconds_a_pair": [1.0, 1.0, 1.0, 0.5, 2.0],
        }
    )
    assert on_front(table) == [True, True, False, True, True]
    assert on_front(table.iloc[[1, 1]]) == [True, True]  # equals do not beat each other

"""Who is trained briefly in the end of a search, and which candidates nothing beats."""

import numpy as np
import pandas as pd
import pytest

from autoreg.config import load_space
from autoreg.networks import Genotype
from autoreg.search.finalists import finalists
from autoreg.search.front import front_candidates, on_front

SPACE = load_space("tiny", dims=3)
STARTS = {term.name: 1.0 if term.reference else term.start for term in SPACE.terms}
SEARCHED = STARTS | {"smoothness": 0.3}
DEFAULT, OTHER, THIRD = (Genotype.uniform(SPACE.architecture, name) for name in ("conv3", "conv1", "dil3"))


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_searched_and_default_choices_meet(count: int) -> None:
    genotypes = {"by removal": OTHER, "by alpha": THIRD}
    found = finalists(SPACE, genotypes, SEARCHED, default=DEFAULT, count=count)
    assert [f.name for f in found] == ["by removal", "by alpha", "default architecture", "default"][:count]
    architectures = [OTHER, THIRD, DEFAULT, DEFAULT]
    weights = [SEARCHED, SEARCHED, SEARCHED, STARTS]
    for finalist, genotype, loss_weights in zip(found, architectures, weights, strict=False):
        assert finalist.genotype == genotype and finalist.loss_weights == loss_weights


def test_equal_candidates_enter_once() -> None:
    found = finalists(SPACE, {"by removal": DEFAULT, "by alpha": DEFAULT}, SEARCHED, default=DEFAULT, count=4)
    assert [f.name for f in found] == ["by removal", "default"]


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

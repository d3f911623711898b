"""Reports of a round: once each, of this round, finite."""

from types import SimpleNamespace

import numpy as np
import pytest

from autoreg.errors import DivergedError, WorkerError
from autoreg.workers.messages import RoundReport, complete

TASK = SimpleNamespace(index=7, first_step=14, learning_rates=(1e-3, 1e-3))


def report(rank: int, *, index: int = 7, value: float = 1.0, **more: np.ndarray) -> RoundReport:
    return RoundReport(index=index, rank=rank, terms=np.array([value]), **more)


def test_reports_come_in_the_order_of_shares():
    assert [r.rank for r in complete([report(2), report(0), report(1)], TASK, 3)] == [0, 1, 2]


def test_a_second_and_a_late_report_count_for_nothing():
    found = complete([report(0, index=6, value=9.0), report(0), report(0, value=5.0), report(1)], TASK, 2)
    assert [float(r.terms[0]) for r in found] == [1.0, 1.0]


def test_a_missing_report_is_a_loss():
    with pytest.raises(WorkerError, match=r"round 7: no report of shares \[1\] of 2"):
        complete([report(0), report(1, index=6)], TASK, 2)


@pytest.mark.parametrize(
    ("name", "level"), [("alpha_indirect", "architecture"), ("loss_weights_gradient", "loss weights")]
)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_names_its_level(name, level, bad):
    with pytest.raises(DivergedError, match=f"{level} .* round 7, step 15"):
        complete([report(0), report(1, **{name: np.array([0.0, bad])})], TASK, 2)

from itertools import pairwise

import pytest

from autoreg.errors import InputError
from autoreg.registration.score import ScoreConfig
from autoreg.search.training import TrainConfig, TrainDriver


def test_learning_rate_rises_then_falls_to_nothing():
    config = TrainConfig(steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [config.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(rates[9], abs=0.05)
    assert rates[-1] < 1e-3
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_rounds_cover_all_steps_once():
    config = TrainConfig(steps=23, steps_per_round=10)
    driver = TrainDriver(config, {"a": 1.0}, score=ScoreConfig(), pairs=[])
    tasks = [driver.task(i) for i in range(driver.rounds)]
    steps = [task.first_step + k for task in tasks for k in range(len(task.learning_rates))]
    assert steps == list(range(23))


@pytest.mark.parametrize("field", ["steps", "batch_size", "evaluate_every"])
def test_budgets_must_be_positive(field):
    with pytest.raises(InputError, match=f"train.{field}"):
        TrainConfig(**{field: 0})

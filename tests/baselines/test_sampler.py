import optuna
import pytest
from optuna.distributions import FloatDistribution

from autoreg.baselines.sampler import NumberedTPE

RANGES = {"x": FloatDistribution(0.01, 100.0, log=True)}


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def draw(study: optuna.Study, trials: int, target: float = 3.0) -> list[float]:
    """Values of the next trials, each told that the target is best."""
    values = []
    for _ in range(trials):
        trial = study.ask(RANGES)
        values.append(trial.params["x"])
        study.tell(trial, -abs(values[-1] - target))
    return values


def new_study(seed: int) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=NumberedTPE(seed, trials=12))


def test_same_seed_same_trials_and_another_seed_others() -> None:
    assert draw(new_study(1), 12) == draw(new_study(1), 12)
    assert draw(new_study(1), 12) != draw(new_study(2), 12)


def test_trials_differ_and_stay_in_the_range() -> None:
    values = draw(new_study(0), 12)

    assert len(set(values)) == 12
    assert all(0.01 <= value <= 100 for value in values)


@pytest.mark.parametrize("random", [False, True])
def test_a_random_study_learns_nothing(random: bool) -> None:
    def drawn(target: float) -> list[float]:
        return draw(optuna.create_study(direction="maximize", sampler=NumberedTPE(0, 20, random=random)), 20, target)

    assert (drawn(3.0) == drawn(50.0)) is random


@pytest.mark.parametrize("kept", [1, 3, 7])
def test_a_continued_study_draws_what_an_undisturbed_one_draws(kept: int) -> None:
    whole = new_study(4)
    expected = draw(whole, 12)
    continued = new_study(4)
    for trial in whole.trials[:kept]:
        continued.add_trial(trial)

    assert draw(continued, 12 - kept) == expected[kept:]

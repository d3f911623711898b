"""Optuna's sampler for a study that may be continued: a trial's draw depends on seed, number and results so far."""

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

_MOST_RANDOM_TRIALS = 10
_FEWEST_RANDOM_TRIALS = 3
_NUMBERS = 100_000  # seeds of neighbouring studies stay apart


class NumberedTPE(BaseSampler):
    """TPE that starts from a fresh seed for every trial.

    TPESampler alone draws from one stream, so that a restarted process would suggest its first trials again.

    Args:
        seed: of the study.
        trials: its length; a third of it, three to ten, is drawn at random before TPE models the results. Optuna's
            fixed ten would leave short studies without a model.
        random: draw all trials at random.
    """

    def __init__(self, seed: int, trials: int, *, random: bool = False) -> None:
        self._seed = seed
        few = min(_MOST_RANDOM_TRIALS, max(_FEWEST_RANDOM_TRIALS, trials // 3))
        self._random_trials = trials if random else few
        self._sampler = self._of(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler = self._of(trial.number)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def _of(self, number: int) -> TPESampler:
        seed = (self._seed * _NUMBERS + number) % 2**32
        return TPESampler(seed=seed, n_startup_trials=self._random_trials)

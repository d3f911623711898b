"""Manual tuning as people do it: Ray Tune runs full trainings, Optuna chooses them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from autoreg.baselines.books import trial_folder
from autoreg.baselines.config import TuneConfig
from autoreg.baselines.ranges import Parameters
from autoreg.baselines.record import Record
from autoreg.baselines.sampler import NumberedTPE
from autoreg.baselines.trials import NAME, NUMBER, TrialFunction, Trials, run_trials
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.tracker import Tracker
from autoreg.workers.config import WorkerConfig

_FIRST_RUNG = 9  # of a trial's rounds, this part passes before ASHA looks


@dataclass(frozen=True)
class Study:
    """What is tuned, and with what."""

    folder: Path
    config: TuneConfig
    workers: WorkerConfig
    """Threads and GPUs are those of one trial; `count` is not used."""
    ranges: Mapping[str, BaseDistribution]
    first: Parameters
    """Parameters of the first trial."""
    rounds: int
    """Of a trial that is not stopped early."""
    seed: int

    def trials(self) -> Trials:
        """The same as trials of Ray Tune."""
        return Trials(
            folder=self.folder,
            total=self.config.trials,
            concurrent=self.config.concurrent,
            rounds=self.rounds,
            grace=max(1, self.rounds // _FIRST_RUNG) if self.config.asha else None,
            workers=self.workers,
        )

    def trial_folder(self, number: int) -> Path:
        return trial_folder(self.trials().trials_folder, number)


def run_study(
    trial: TrialFunction,
    setup: Mapping[str, Any],
    *,
    study: Study,
    ledger: Ledger,
    tracker: Tracker,
    progress: Callable[[int, int, Mapping[str, Any]], None],
) -> Record:
    """Run the trials that the folder's record does not have yet; returns the record of all. As `run_trials`."""
    record = Record(study.folder / "trials.parquet", list(study.ranges))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run_trials(
        trial,
        setup,
        trials=study.trials(),
        record=record,
        search=lambda: ConcurrencyLimiter(_search(study, record), max_concurrent=study.config.concurrent),
        ledger=ledger,
        tracker=tracker,
        progress=progress,
    )
    return record


def _search(study: Study, record: Record) -> OptunaSearch:
    """Optuna behind Ray Tune, knowing the trials so far under their numbers."""
    sampler = NumberedTPE(study.seed, study.config.trials, random=study.config.sampler == "random")
    storage = optuna.storages.InMemoryStorage()
    past = optuna.create_study(storage=storage, study_name=NAME, sampler=sampler, direction="maximize")
    for number in range(max(record.rows, default=-1) + 1):
        row = record.rows.get(number)
        if row and row.ended:
            trial = optuna.trial.create_trial(
                params=dict(row.parameters), distributions=dict(study.ranges), value=row.told
            )
            past.add_trial(trial)
        else:  # killed under way, or before its first line
            past.enqueue_trial(dict(row.parameters) if row else {})
    if not record.rows:
        past.enqueue_trial(dict(study.first))
    suggest = partial(_suggest, ranges=study.ranges)
    return OptunaSearch(suggest, metric="score", mode="max", sampler=sampler, storage=storage, study_name=NAME)


def _suggest(trial: optuna.Trial, *, ranges: Mapping[str, BaseDistribution]) -> dict[str, int]:
    """Choose the parameters of a trial; what is returned goes with them."""
    for name, values in ranges.items():
        if isinstance(values, CategoricalDistribution):
            trial.suggest_categorical(name, values.choices)
        elif isinstance(values, FloatDistribution):
            trial.suggest_float(name, values.low, values.high, log=values.log)
    return {NUMBER: trial.number}

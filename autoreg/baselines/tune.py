"""Manual tuning as people do it: Ray Tune runs full trainings, Optuna chooses them.

Ray Tune's own restore is not used: it needs a pickled state that is written now and then, and a kill before or
within a write loses trials. The study's record (trials.parquet) is complete after every trial, and what was under
way continues in its own folder; so a continued study goes on as if nothing had happened.
"""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from autoreg.baselines.books import Books, trial_folder
from autoreg.baselines.config import TuneConfig
from autoreg.baselines.ranges import Parameters
from autoreg.baselines.record import DIVERGED, FAILED, FINISHED, STOPPED, WORST_SCORE, Record
from autoreg.baselines.sampler import NumberedTPE
from autoreg.errors import DivergedError, WorkerError
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.tracker import Tracker
from autoreg.workers.config import WorkerConfig
from autoreg.workers.ray_pool import connect

logger = logging.getLogger(__name__)

Report = Callable[[int, float], None]
"""To be called with the rounds done and the score."""

TrialFunction = Callable[[Mapping[str, Any], Parameters, Path, Report], Mapping[str, float]]
"""(setup, parameters, folder, report) -> metrics with `score`; called again, it goes on in its folder.

A function of a module, since it travels to other processes. Raises DivergedError when the parameters are no good.
"""

_RAY_TUNE = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of a configuration stay what they are
    "RAY_AIR_NEW_OUTPUT": "0",  # the newer output speaks at verbosity 0, too
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is for us: Ray Tune would end as if the study were complete
}
_RETRIES = 2
_NUMBER = "trial"
_ROUND = "round"
_STUDY = "study"
_ASHA_FACTOR = 3  # the best third goes on


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

    @property
    def trials_folder(self) -> Path:
        return self.folder.resolve() / "trials"

    def trial_folder(self, number: int) -> Path:
        return trial_folder(self.trials_folder, number)


def run_study(
    trial: TrialFunction,
    setup: Mapping[str, Any],
    *,
    study: Study,
    ledger: Ledger,
    tracker: Tracker,
    progress: Callable[[int, int], None],
) -> Record:
    """Run the trials that the folder's record does not have yet; returns the record of all.

    Args:
        trial: trains and scores one choice of parameters.
        setup: passed to every trial.
        tracker: of the study; every trial becomes a nested run.
        progress: called with ended and all trials.

    Raises:
        WorkerError: Ray Tune ended before the trials did.
    """
    record = Record(study.folder / "trials.parquet", list(study.ranges))
    left = study.config.trials - len(record.ended())
    books = Books(study.trials_folder, study.config.trials, record, ledger, tracker, progress)
    if left > 0:
        os.environ.update(_RAY_TUNE)
        connect(replace(study.workers, count=study.config.concurrent))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _tuner(trial, setup, study, books, left).fit()
    missing = study.config.trials - len(record.ended())
    if missing > 0:
        total = study.config.trials
        raise WorkerError(f"{study.folder}: {missing} of {total} trials did not end; continue with --resume")
    if best := record.best():
        books.mark_best(best.trial)
    return record


def _tuner(trial: TrialFunction, setup: Mapping[str, Any], study: Study, books: Books, trials: int) -> tune.Tuner:
    storage = study.folder.resolve() / "tune"
    shutil.rmtree(storage, ignore_errors=True)  # Ray Tune's files of an earlier process; nothing reads them
    trainable = tune.with_parameters(
        _run_trial, trial=trial, setup=dict(setup), folder=study.trials_folder, rounds=study.rounds
    )
    resources = {"cpu": study.workers.threads, "gpu": study.workers.gpus}
    return tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=ConcurrencyLimiter(_search(study, books.record), max_concurrent=study.config.concurrent),
            scheduler=_asha(study.rounds) if study.config.asha else None,
            num_samples=trials,
            reuse_actors=True,  # a new process spends seconds on imports
        ),
        run_config=tune.RunConfig(
            name=_STUDY,
            storage_path=str(storage),
            callbacks=[_Callback(books)],
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            verbose=0,
        ),
    )


def _search(study: Study, record: Record) -> OptunaSearch:
    """Optuna behind Ray Tune, knowing the trials so far under their numbers."""
    sampler = NumberedTPE(study.seed, study.config.trials, random=study.config.sampler == "random")
    storage = optuna.storages.InMemoryStorage()
    past = optuna.create_study(storage=storage, study_name=_STUDY, sampler=sampler, direction="maximize")
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
    return OptunaSearch(suggest, metric="score", mode="max", sampler=sampler, storage=storage, study_name=_STUDY)


def _suggest(trial: optuna.Trial, *, ranges: Mapping[str, BaseDistribution]) -> dict[str, int]:
    """Choose the parameters of a trial; what is returned goes with them."""
    for name, values in ranges.items():
        if isinstance(values, CategoricalDistribution):
            trial.suggest_categorical(name, values.choices)
        elif isinstance(values, FloatDistribution):
            trial.suggest_float(name, values.low, values.high, log=values.log)
    return {_NUMBER: trial.number}


def _asha(rounds: int) -> ASHAScheduler:
    return ASHAScheduler(
        time_attr=_ROUND,
        metric="score",
        mode="max",
        max_t=rounds,
        grace_period=max(1, rounds // _ASHA_FACTOR**2),
        reduction_factor=_ASHA_FACTOR,
    )


def _run_trial(
    config: dict[str, Any], *, trial: TrialFunction, setup: Mapping[str, Any], folder: Path, rounds: int
) -> None:
    """One trial, in a process of its own."""
    number = config[_NUMBER]
    parameters: Parameters = {name: value for name, value in config.items() if name != _NUMBER}

    def report(done: int, score: float) -> None:
        if done < rounds:  # at the last round ASHA ends the process, before the model is saved
            tune.report({_ROUND: done, "score": score})

    try:
        metrics = trial(setup, parameters, trial_folder(folder, number), report)
    except DivergedError as error:
        logger.warning("trial %d: %s", number, error)
        tune.report({_ROUND: rounds, "score": WORST_SCORE, "status": DIVERGED})
        return
    score = metrics.get("score", float("nan"))
    told = score if score == score else WORST_SCORE
    tune.report({_ROUND: rounds, "score": told, "status": FINISHED, "metrics": dict(metrics)})


class _Callback(tune.Callback):
    """Ray Tune's events, passed to the books."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray Tune pickles its callbacks for a restore that is never asked for

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        parameters = {name: value for name, value in trial.config.items() if name != _NUMBER}
        self._books.start(trial.config[_NUMBER], parameters)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict, **info: Any) -> None:
        if "status" not in result:
            self._books.score(trial.config[_NUMBER], result[_ROUND], result["score"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        last = trial.last_result
        status = last.get("status", STOPPED)
        metrics = {} if status == DIVERGED else last.get("metrics", {"score": last["score"]})
        self._books.end(trial.config[_NUMBER], status, metrics, round_index=last[_ROUND])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        number = trial.config[_NUMBER]
        logger.warning("trial %d: failed %d times: %s", number, _RETRIES + 1, _last_line(trial.get_error()))
        self._books.end(number, FAILED, {}, round_index=(trial.last_result or {}).get(_ROUND, 0))


def _last_line(error: Exception | None) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "lost"

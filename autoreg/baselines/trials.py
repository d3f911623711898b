"""Trials as Ray Tune runs them: processes of one cluster, a record that survives, early stopping by ASHA.

Ray Tune's own restore is not used: it needs a pickled state that is written now and then, and a kill before or
within a write loses trials. The record (trials.parquet) is complete after every trial, and what was under way
continues in its own folder; so a continued study goes on as if nothing had happened.
"""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from autoreg.baselines.books import Books, trial_folder
from autoreg.baselines.ranges import Parameters
from autoreg.baselines.record import DIVERGED, FAILED, FINISHED, STOPPED, WORST_SCORE, Record
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
NUMBER = "trial"
_ROUND = "round"
NAME = "study"
_ASHA_FACTOR = 3  # the best third goes on


@dataclass(frozen=True)
class Trials:
    """What is to be run, and with what.

    Attributes:
        folder: of the study; each trial has one below.
        total: trials of the study.
        concurrent: under way at once.
        rounds: of a trial that is not stopped early.
        grace: rounds before ASHA may stop a trial; None lets every trial run to its end.
        workers: threads and GPUs of each process of a trial.
        processes: of a trial beside its own; they get a place in the cluster together with it.
        listed: parameters by number, where they are known beforehand.
    """

    folder: Path
    total: int
    concurrent: int
    rounds: int
    grace: int | None
    workers: WorkerConfig
    processes: int = 0
    listed: Mapping[int, Parameters] = field(default_factory=dict)

    @property
    def trials_folder(self) -> Path:
        return self.folder.resolve() / "trials"

    def resources(self) -> tune.PlacementGroupFactory:
        """Of one trial. A process that only leads others needs no CPU of its own."""
        one: dict[str, float] = {"CPU": self.workers.threads, "GPU": self.workers.gpus}
        return tune.PlacementGroupFactory([{}, *[one] * self.processes] if self.processes else [one])


def run_trials(
    trial: TrialFunction,
    setup: Mapping[str, Any],
    *,
    trials: Trials,
    record: Record,
    search: Callable[[], Searcher] | None,
    ledger: Ledger,
    tracker: Tracker,
    progress: Callable[[int, int, Mapping[str, Any]], None],
) -> None:
    """Run the trials that have not ended by the record, which then has all of them.

    Args:
        trial: does the work of one choice of parameters, and scores it.
        setup: passed to every trial.
        search: chooses parameters; None where all are listed.
        tracker: of the study; every trial becomes a nested run.
        progress: called with rounds done, rounds of all trials, and how it goes.

    Raises:
        WorkerError: Ray Tune ended before the trials did.
    """
    books = Books(trials.trials_folder, trials.total, trials.rounds, record, ledger, tracker, progress)
    if len(record.ended()) < trials.total:
        os.environ.update(_RAY_TUNE)
        connect(replace(trials.workers, count=trials.concurrent * max(trials.processes, 1), min=None, max=None))
        _tuner(trial, setup, trials, books, search).fit()
    missing = trials.total - len(record.ended())
    if missing > 0:
        raise WorkerError(f"{trials.folder}: {missing} of {trials.total} trials did not end; continue with --resume")
    if best := record.best():
        books.mark_best(best.trial)


def _tuner(
    trial: TrialFunction,
    setup: Mapping[str, Any],
    trials: Trials,
    books: Books,
    search: Callable[[], Searcher] | None,
) -> tune.Tuner:
    storage = trials.folder.resolve() / "tune"
    shutil.rmtree(storage, ignore_errors=True)  # Ray Tune's files of an earlier process; nothing reads them
    trainable = tune.with_parameters(
        _run_trial,
        trial=trial,
        setup=dict(setup),
        folder=trials.trials_folder,
        rounds=trials.rounds,
        listed=dict(trials.listed),
    )
    left = [n for n in range(trials.total) if n not in books.record.rows or not books.record.rows[n].ended]
    return tune.Tuner(
        tune.with_resources(trainable, trials.resources()),
        param_space=None if search else {NUMBER: tune.grid_search(left)},
        tune_config=tune.TuneConfig(
            search_alg=search() if search else None,
            max_concurrent_trials=None if search else trials.concurrent,
            scheduler=None if trials.grace is None else _asha(trials.rounds, trials.grace),
            num_samples=len(left) if search else 1,
            reuse_actors=True,  # a new process spends seconds on imports
        ),
        run_config=tune.RunConfig(
            name=NAME,
            storage_path=str(storage),
            callbacks=[_Callback(books, trials.listed)],
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            verbose=0,
        ),
    )


def _asha(rounds: int, grace: int) -> ASHAScheduler:
    return ASHAScheduler(
        time_attr=_ROUND,
        metric="score",
        mode="max",
        max_t=rounds,
        grace_period=min(grace, rounds),
        reduction_factor=_ASHA_FACTOR,
    )


def _run_trial(
    config: dict[str, Any],
    *,
    trial: TrialFunction,
    setup: Mapping[str, Any],
    folder: Path,
    rounds: int,
    listed: Mapping[int, Parameters],
) -> None:
    """One trial, in a process of its own."""
    number, parameters = _chosen(config, listed)

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


def _chosen(config: Mapping[str, Any], listed: Mapping[int, Parameters]) -> tuple[int, Parameters]:
    """Number and parameters of a trial."""
    number = config[NUMBER]
    return number, dict(listed.get(number) or {name: value for name, value in config.items() if name != NUMBER})


class _Callback(tune.Callback):
    """Ray Tune's events, passed to the books."""

    def __init__(self, books: Books, listed: Mapping[int, Parameters]) -> None:
        self._books, self._listed = books, listed

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray Tune pickles its callbacks for a restore that is never asked for

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._books.start(*_chosen(trial.config, self._listed))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict, **info: Any) -> None:
        if "status" not in result:
            self._books.score(trial.config[NUMBER], result[_ROUND], result["score"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        last = trial.last_result
        status = last.get("status", STOPPED)
        metrics = {} if status == DIVERGED else last.get("metrics", {"score": last["score"]})
        self._books.end(trial.config[NUMBER], status, metrics, round_index=last[_ROUND])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        number = trial.config[NUMBER]
        logger.warning("trial %d: failed %d times: %s", number, _RETRIES + 1, _last_line(trial.get_error()))
        self._books.end(number, FAILED, {}, round_index=(trial.last_result or {}).get(_ROUND, 0))


def _last_line(error: Exception | None) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "lost"

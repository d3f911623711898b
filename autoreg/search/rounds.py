"""Rounds on a pool, with what makes them survive: state saved after each, replay after a fault."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from autoreg.errors import WorkerError
from autoreg.files import whole_file
from autoreg.mirror import share
from autoreg.search.checkpoint import load_checkpoint, save_checkpoint
from autoreg.search.faults import ANSWERED, MAX_LOSSES_IN_A_ROW, Answers, Place, check_bounded, check_finite
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.names import tracked_name
from autoreg.tracking.tracker import Tracker
from autoreg.workers.messages import RoundReport, RoundTask, State
from autoreg.workers.pool import Pool

logger = logging.getLogger(__name__)
KEEP_CHECKPOINTS = 2
REPAIR_SECONDS = 5.0

Row = dict[str, float | str]
T = TypeVar("T")


class Driver(Protocol):
    """Decides what each round does: the search, or a training."""

    phase: str
    rounds: int
    step_backs: int
    """Divergences that are answered with smaller steps."""

    def task(self, index: int) -> RoundTask:
        """What round `index` is to do."""
        ...

    def finish(self, index: int, reports: list[RoundReport], pool: Pool) -> Row:
        """Move what the driver holds, and give the history's row."""
        ...

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        ...


def own_terms(reports: Sequence[RoundReport]) -> Row:
    """Of a network that adds terms by itself: their values over all workers, for the history."""
    return {f"term.{name}": sum(r.own_terms[name] for r in reports) for name in reports[0].own_terms}


@dataclass
class Journal:
    """Where a run writes: its folder, its books and its tracker; and how it shows progress."""

    folder: Path
    ledger: Ledger
    tracker: Tracker
    progress: Callable[[int, int, Row], None] = lambda done, total, row: None
    rows: list[Row] = field(default_factory=list)
    earlier_seconds: float = 0.0
    """Wall time of the processes before this one."""
    _start: float = field(default_factory=time.perf_counter)

    @property
    def wall_seconds(self) -> float:
        """Of earlier processes and this one."""
        return self.earlier_seconds + time.perf_counter() - self._start

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def write_history(self) -> None:
        """history.parquet, a row a round, replaced as a whole."""
        with whole_file(self.folder / "history.parquet") as file:
            pd.DataFrame(self.rows).to_parquet(file, index=False)


def run_rounds(driver: Driver, pool: Pool, journal: Journal, *, resume: bool, until: int | None = None) -> Place:
    """Run what is left of the driver's rounds, or of its first `until`; returns where the run stands then.

    A round is lost as a whole or kept as a whole: after a fault the pool is repaired, all go back to the state
    after the last finished round, and the round is done again.

    Raises:
        WorkerError: after several losses in a row without a finished round.
        DivergedError: a value is not finite or an objective explodes, also with the smallest steps; the last state is
            on disk.
        StorageError: the state cannot be written, or the store of the run's folder does not take it; the one before
            is on disk.
    """
    place = _start(driver, pool, journal, resume=resume)
    answers = Answers(driver.step_backs)
    rounds = driver.rounds if until is None else min(until, driver.rounds)
    while place.rounds < rounds:
        kept = driver.state()
        place, (row, workers) = survive(
            lambda place: _round(driver, pool, place, journal.rows),
            place,
            pool,
            journal,
            phase=driver.phase,
            key=f"round {place.rounds}",
            answers=answers,
            undo=lambda kept=kept: driver.load(kept),
        )
        place = replace(place, rounds=place.rounds + 1, workers=workers)
        _keep(driver, pool, journal, place, row)
        spent = journal.ledger.total_device_seconds()
        journal.progress(place.rounds, rounds, row | {"total_device_seconds": spent})
    return place


def survive(
    work: Callable[[Place], T],
    place: Place,
    pool: Pool,
    journal: Journal,
    *,
    phase: str,
    key: str,
    answers: Answers | None = None,
    undo: Callable[[], None] = lambda: None,
) -> tuple[Place, T]:
    """Where the run stands, and the result of `work` on the pool, booked; done again from there after each fault.

    Args:
        answers: bounds on the faults that are answered.
        undo: takes back what a failed attempt changed outside the pool.

    Raises:
        WorkerError, DivergedError: a bound was reached.
    """
    answers = answers or Answers(step_backs=0)
    while True:
        try:
            pool.grow(place.workers)
            with journal.ledger.work(phase, key, pool.count, device=pool.device):
                result = work(place)
            answers.progress()
            return place, result
        except ANSWERED as error:
            journal.ledger.lose()
            undo()
            place = answers.to(error, place, pool)
            _recover(pool, place)


def _start(driver: Driver, pool: Pool, journal: Journal, *, resume: bool) -> Place:
    saved = load_checkpoint(journal.checkpoints) if resume else None
    if saved is None:
        return Place(0, None, pool.shares)
    driver.load(saved["driver"])
    journal.rows = saved["history"]
    journal.earlier_seconds = max(journal.earlier_seconds, float(saved["wall_seconds"]))
    journal.write_history()  # a kill may have come after the state and before its row
    for row in journal.rows:  # the tracker drops what it has; what a kill kept from it comes now
        _log(journal, row)
    place = Place.of(saved["place"])
    if place.shares > pool.shares:
        pool.divide(place.shares)
    place = replace(place, shares=pool.shares)
    _recover(pool, place)
    return place


def _round(driver: Driver, pool: Pool, place: Place, earlier: Sequence[Row]) -> tuple[Row, State]:
    """The round's row of the history, and the workers' state after it."""
    start = time.perf_counter()
    task = place.task(driver.task(place.rounds))
    reports = pool.run_round(task)
    row = {"round": place.rounds, "phase": driver.phase, **driver.finish(place.rounds, reports, pool)}
    if earlier:
        check_bounded(_terms(row, task), _terms(earlier[0], task), task)
    workers = pool.state()
    check_finite(workers, place.rounds, task.first_step + len(task.learning_rates) - 1)
    seconds = time.perf_counter() - start
    row |= {"seconds": seconds, "sum_seconds": min(report.sum_seconds for report in reports)}
    row |= {"device_seconds": seconds * pool.count, "workers": pool.count}
    return row | {"shares": place.shares, "step_scale": place.step_scale}, workers


def _terms(row: Row, task: RoundTask) -> np.ndarray:
    """Those with a loss weight; what a network adds by itself comes after them."""
    return np.array([v for name, v in row.items() if name.startswith("term.")][: len(task.loss_weights)], np.float64)


def _keep(driver: Driver, pool: Pool, journal: Journal, place: Place, row: Row) -> None:
    """Everything that must be on disk before the next round starts.

    The round is in the ledger already: after a kill between the two it is done and booked again, and the ledger
    takes the first booking for wasted, which it then is.
    """
    with journal.ledger.work(driver.phase, f"save {place.rounds}", pool.count, device=pool.device):
        journal.rows.append(row)
        state = {
            "place": place.saved(),
            "driver": driver.state(),
            "history": journal.rows,
            "wall_seconds": journal.wall_seconds,
        }
        save_checkpoint(journal.checkpoints, place.rounds, state, keep=KEEP_CHECKPOINTS)
        journal.write_history()
        _log(journal, row)
    share(journal.folder)


def _log(journal: Journal, row: Row) -> None:
    numbers = {k: float(v) for k, v in row.items() if not isinstance(v, str) and k != "round"}
    named = {tracked_name(k): v for k, v in numbers.items() if v == v}
    journal.tracker.metrics(named, step=int(row["round"]))


def _recover(pool: Pool, place: Place) -> None:
    """Repair until the pool holds the state again; a node that is coming back needs a few tries."""
    for attempt in range(MAX_LOSSES_IN_A_ROW):
        try:
            pool.repair()
            if place.workers is not None:
                pool.load(place.workers)
            return
        except WorkerError as error:
            if attempt == MAX_LOSSES_IN_A_ROW - 1:
                raise
            logger.warning("repair: %s; trying again", error)
            time.sleep(REPAIR_SECONDS)

"""Rounds on a pool, with what makes them survive: state saved after each, replay after a lost worker."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from autoreg.errors import WorkerError
from autoreg.search.checkpoint import load_checkpoint, save_checkpoint
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.tracker import Tracker
from autoreg.workers.messages import RoundReport, RoundTask, State
from autoreg.workers.pool import Pool

logger = logging.getLogger(__name__)
KEEP_CHECKPOINTS = 2
MAX_LOSSES_IN_A_ROW = 5
REPAIR_SECONDS = 5.0

Row = dict[str, float | str]


class Driver(Protocol):
    """Decides what each round does: the search, or a training."""

    phase: str
    rounds: int

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
        temporary = self.folder / "history.tmp"
        pd.DataFrame(self.rows).to_parquet(temporary, index=False)
        temporary.replace(self.folder / "history.parquet")


def run_rounds(driver: Driver, pool: Pool, journal: Journal, *, resume: bool) -> State:
    """Run what is left of the driver's rounds; returns the workers' final state.

    A round is lost as a whole or kept as a whole: when a worker is lost, the pool is repaired, all go back
    to the state after the last finished round, and the round is done again.

    Raises:
        WorkerError: after several losses in a row without a finished round.
        DivergedError: an objective is not finite; the last state is on disk.
    """
    done, workers = _start(driver, pool, journal, resume=resume)
    losses = 0
    while done < driver.rounds:
        kept = driver.state()
        start = time.perf_counter()
        journal.ledger.begin(driver.phase, f"round {done}", pool.count, device=pool.device)
        try:
            reports = pool.run_round(driver.task(done))
            row = driver.finish(done, reports, pool)
            workers = pool.state()
        except WorkerError as error:
            losses += 1
            if losses > MAX_LOSSES_IN_A_ROW:
                raise
            logger.warning("round %d: %s; replacing it and doing the round again", done, error)
            driver.load(kept)
            _recover(pool, workers)
            journal.ledger.add(
                driver.phase,
                pool.device,
                0.0,
                wasted_seconds=(time.perf_counter() - start) * pool.count,
                key=f"round {done}",
            )
            continue
        losses = 0
        done += 1
        _book(driver, pool, journal, done, row, workers, start)
    return workers


def _start(driver: Driver, pool: Pool, journal: Journal, *, resume: bool) -> tuple[int, State]:
    saved = load_checkpoint(journal.checkpoints) if resume else None
    if saved is None:
        return 0, pool.state()
    driver.load(saved["driver"])
    pool.load(saved["workers"])
    journal.rows = saved["history"]
    journal.earlier_seconds = max(journal.earlier_seconds, float(saved["wall_seconds"]))
    for row in journal.rows:  # the tracker drops what it has; what a kill kept from it comes now
        _log(journal, row)
    return int(saved["rounds"]), saved["workers"]


def _book(driver: Driver, pool: Pool, journal: Journal, done: int, row: Row, workers: State, start: float) -> None:
    """Everything that must be on disk before the next round starts."""
    seconds = time.perf_counter() - start
    row = {"round": done - 1, "phase": driver.phase, **row, "seconds": seconds}
    row |= {"device_seconds": seconds * pool.count, "workers": pool.count}
    journal.rows.append(row)
    state = {
        "rounds": done,
        "driver": driver.state(),
        "workers": workers,
        "history": journal.rows,
        "wall_seconds": journal.wall_seconds,
    }
    save_checkpoint(journal.checkpoints, done, state, keep=KEEP_CHECKPOINTS)
    total = (time.perf_counter() - start) * pool.count
    journal.ledger.add(driver.phase, pool.device, total, key=f"round {done - 1}")
    journal.write_history()
    _log(journal, row)
    journal.progress(done, driver.rounds, row)


def _log(journal: Journal, row: Row) -> None:
    numbers = {k: float(v) for k, v in row.items() if not isinstance(v, str) and k != "round"}
    journal.tracker.metrics({k: v for k, v in numbers.items() if v == v}, step=int(row["round"]))


def _recover(pool: Pool, workers: State) -> None:
    """Repair until the pool holds the state again; a node that is coming back needs a few tries."""
    for attempt in range(MAX_LOSSES_IN_A_ROW):
        try:
            pool.repair()
            pool.load(workers)
            return
        except WorkerError as error:
            if attempt == MAX_LOSSES_IN_A_ROW - 1:
                raise
            logger.warning("repair: %s; trying again", error)
            time.sleep(REPAIR_SECONDS)

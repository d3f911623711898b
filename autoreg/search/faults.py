"""Faults that a run answers by itself, how often, and how."""

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autoreg.errors import AutoRegError, DivergedError, InputError, MemoryExhaustedError, WorkerError
from autoreg.workers.messages import RoundTask, State
from autoreg.workers.pool import Pool

MAX_LOSSES_IN_A_ROW = 5
SMALLER = 0.5
EXPLODED = 10.0
"""Objectives of so many times what they were at first, or would be with all terms at 1, are no training any more."""
logger = logging.getLogger(__name__)

ANSWERED = (WorkerError, DivergedError)
"""Errors after which the last state is taken up again."""


@dataclass(frozen=True)
class Place:
    """Where a run stands: what all workers go back to, and how it goes on from there."""

    rounds: int
    """Finished."""
    workers: State | None
    """None: fresh weights, which the seed gives."""
    shares: int
    """Parts of a batch; more after memory ran out."""
    step_scale: float = 1.0
    """Factor on the weights' learning rates; smaller after each divergence."""

    def task(self, task: RoundTask) -> RoundTask:
        """The driver's task with the steps allowed here."""
        return replace(task, learning_rates=tuple(self.step_scale * rate for rate in task.learning_rates))

    def saved(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "rounds": self.rounds,
            "workers": self.workers,
            "shares": self.shares,
            "step_scale": self.step_scale,
        }

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "Place":
        """From `saved()`."""
        return cls(int(saved["rounds"]), saved["workers"], int(saved["shares"]), float(saved["step_scale"]))


@dataclass
class Answers:
    """What has been answered so far, within bounds.

    Args:
        step_backs: divergences of the whole run that are answered.
    """

    step_backs: int
    _losses: int = 0

    def progress(self) -> None:
        """A round was finished: losses were no habit."""
        self._losses = 0

    def to(self, error: AutoRegError, place: Place, pool: Pool) -> Place:
        """From where to go on. Raises the error when the bound is reached."""
        if isinstance(error, DivergedError):
            if place.step_scale <= SMALLER**self.step_backs:
                raise error
            place = replace(place, step_scale=place.step_scale * SMALLER)
            logger.warning("%s; back to the last state, with steps of %g", error, place.step_scale)
            return place
        if isinstance(error, MemoryExhaustedError):
            return self._divided(error, place, pool)
        self._losses += 1
        if self._losses > MAX_LOSSES_IN_A_ROW:
            raise error
        logger.warning("round %d: %s; replacing it and doing the round again", place.rounds, error)
        return place

    def _divided(self, error: MemoryExhaustedError, place: Place, pool: Pool) -> Place:
        try:
            pool.divide(2 * place.shares)
        except InputError as bound:
            raise MemoryExhaustedError(
                f"{error}; a share of one pair is the smallest ({bound}): take smaller volumes, a smaller network, "
                "or a device with more memory, then --resume"
            ) from error
        logger.warning("%s; the same batches in %d shares", error, pool.shares)
        return replace(place, shares=pool.shares)


def check_finite(state: State, round_index: int, step: int) -> None:
    """A state that is kept must be one to go back to. Raises DivergedError."""
    moments = [array for name, value in state["lower"].items() if name != "steps" for array in value]
    for array in [*state["weights"].values(), *moments]:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DivergedError("weights", round_index, step)


def check_bounded(terms: np.ndarray, at_first: np.ndarray, task: RoundTask) -> None:
    """An objective far above where it began belongs to weights from which there is no way back, though all is finite.

    Args:
        terms: mean of each term over the round, as are `at_first` those of the first round.

    Raises:
        DivergedError: it is.
    """
    weights = task.loss_weights
    now, bound = float(terms @ weights), max(float(at_first @ weights), float(weights.sum()))
    if now > EXPLODED * bound:
        last = task.first_step + len(task.learning_rates) - 1
        raise DivergedError("weights", task.index, last, f"exploded to {now:.3g} (at first {at_first @ weights:.3g})")

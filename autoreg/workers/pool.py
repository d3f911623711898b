"""Pools: what owns the workers. The local one runs its single worker in this process."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from autoreg.errors import InputError
from autoreg.networks import Costs
from autoreg.workers.messages import RoundReport, RoundTask, State, WorkerSpec, complete
from autoreg.workers.worker import Worker


class Pool(Protocol):
    """Workers that keep their weights equal."""

    @property
    def count(self) -> int:
        """Number of workers."""
        ...

    @property
    def device(self) -> str:
        """Kind of device that one worker holds: "cpu" or "cuda"."""
        ...

    @property
    def shares(self) -> int:
        """Parts of every batch; the result depends on them, not on how many workers hold them."""
        ...

    def run_round(self, task: RoundTask) -> list[RoundReport]:
        """Reports of all shares in their order.

        Raises:
            WorkerError: a worker was lost; `repair` and `load` before going on.
            MemoryExhaustedError: smaller shares may help; `divide`, `repair` and `load` before going on.
            DivergedError: a value is not finite; `repair` and `load` before going on.
        """
        ...

    def evaluate(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Score rows of all pairs, in their order. Raises WorkerError."""
        ...

    def architecture_objectives(
        self, alphas: Sequence[np.ndarray], loss_weights: np.ndarray, steps: Sequence[int]
    ) -> np.ndarray:
        """R_val for each alpha and batch of held pairs, (alphas, steps). Raises WorkerError."""
        ...

    def measure_costs(self, image_shape: Sequence[int]) -> dict[str, Costs]:
        """What the choices of the supernet cost on a worker's device. Raises WorkerError."""
        ...

    def state(self) -> State:
        """Weights and moments. Raises WorkerError."""
        ...

    def load(self, state: State) -> None:
        """Put all workers into this state. Raises WorkerError."""
        ...

    def repair(self) -> None:
        """Replace lost workers, or go on with fewer; afterwards all have fresh weights until `load`."""
        ...

    def divide(self, shares: int) -> None:
        """Cut batches into so many shares from the next `repair` on. Raises InputError for more than pairs."""
        ...

    def grow(self, state: State | None) -> None:
        """Take in workers for which room was found meanwhile; all then have this state, or fresh weights.

        Raises:
            WorkerError: one was lost meanwhile.
        """
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class LocalPool:
    """One worker in this process, with all shares."""

    count = 1

    def __init__(self, spec: WorkerSpec, *, shares: int = 1) -> None:
        self.spec, self.shares = spec, shares
        self.worker = Worker(spec, shares=shares)
        self.device = self.worker.device.type

    def run_round(self, task: RoundTask) -> list[RoundReport]:
        return complete(self.worker.run_round(task), task, self.shares)

    def evaluate(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return self.worker.evaluate(pairs)

    def architecture_objectives(
        self, alphas: Sequence[np.ndarray], loss_weights: np.ndarray, steps: Sequence[int]
    ) -> np.ndarray:
        return in_share_order([self.worker.architecture_objectives(alphas, loss_weights, steps)]).sum(axis=0)

    def measure_costs(self, image_shape: Sequence[int]) -> dict[str, Costs]:
        return self.worker.measure_costs(image_shape)

    def state(self) -> State:
        return self.worker.state()

    def load(self, state: State) -> None:
        self.worker.load(state)

    def repair(self) -> None:
        self.worker = Worker(self.spec, shares=self.shares)

    def divide(self, shares: int) -> None:
        check_shares(shares, self.spec)
        self.shares = shares

    def grow(self, state: State | None) -> None:
        """Nothing to take in."""

    def close(self) -> None:
        """Nothing outlives this process."""


def check_shares(shares: int, spec: WorkerSpec) -> None:
    """Raises InputError for more shares than pairs."""
    if shares > spec.batch_size:
        raise InputError(f"shares of a batch: expected at most {spec.batch_size} (its pairs), got {shares}")


def in_share_order(found: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """What every worker found for each of its shares, stacked in the order of shares: sums then have one order."""
    return np.stack(interleave(found))


def interleave(shares: Sequence[Sequence[Any]]) -> list[Any]:
    """Rows in the order of the pairs, from the shares of all ranks (every count-th from rank)."""
    total = sum(len(share) for share in shares)
    return [shares[i % len(shares)][i // len(shares)] for i in range(total)]

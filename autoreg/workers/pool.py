"""Pools: what owns the workers. The local one runs its single worker in this process."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from autoreg.networks import Costs
from autoreg.workers.messages import RoundReport, RoundTask, State, WorkerSpec
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

    def run_round(self, task: RoundTask) -> list[RoundReport]:
        """Reports of all workers in the order of their ranks.

        Raises:
            WorkerError: a worker was lost; `repair` and `load` before going on.
            DivergedError: an objective is not finite.
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
        """Replace lost workers; afterwards all have fresh weights until `load`."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class LocalPool:
    """One worker in this process."""

    count = 1

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.worker = Worker(spec)
        self.device = self.worker.device.type

    def run_round(self, task: RoundTask) -> list[RoundReport]:
        return [self.worker.run_round(task)]

    def evaluate(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return self.worker.evaluate(pairs)

    def architecture_objectives(
        self, alphas: Sequence[np.ndarray], loss_weights: np.ndarray, steps: Sequence[int]
    ) -> np.ndarray:
        return self.worker.architecture_objectives(alphas, loss_weights, steps)

    def measure_costs(self, image_shape: Sequence[int]) -> dict[str, Costs]:
        return self.worker.measure_costs(image_shape)

    def state(self) -> State:
        return self.worker.state()

    def load(self, state: State) -> None:
        self.worker.load(state)

    def repair(self) -> None:
        self.worker = Worker(self.spec)

    def close(self) -> None:
        """Nothing outlives this process."""


def interleave(shares: Sequence[Sequence[Any]]) -> list[Any]:
    """Rows in the order of the pairs, from the shares of all ranks (every count-th from rank)."""
    total = sum(len(share) for share in shares)
    return [shares[i % len(shares)][i // len(shares)] for i in range(total)]

"""One worker: it holds the volumes and one or more shares of every batch, and adds them up with the other workers.

A plain class. The local pool calls it in this process, the Ray pool makes it an actor.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from autoreg.data.shards import node_copy, open_cache
from autoreg.errors import MemoryExhaustedError
from autoreg.extensions import load_extensions
from autoreg.networks import Costs, choices_from_dict, measure_costs
from autoreg.registration.score import register_pair, score_pair
from autoreg.workers.messages import RoundReport, RoundTask, State, WorkerSpec
from autoreg.workers.share import Share
from autoreg.workers.sums import sum_over_shares
from autoreg.workers.turns import take_turns

COLLECTIVE_SECONDS = 600


class Worker:
    """Worker `rank` of `count`, which holds the shares `rank`, `rank + count`, ...

    Which worker holds a share changes no bit of the result. With several workers, `join` comes before any work.

    Args:
        spec: the same for every worker of the pool.
        shares: parts of every batch, over all workers.
    """

    def __init__(self, spec: WorkerSpec, *, shares: int = 1) -> None:
        load_extensions(spec.extensions)
        torch.set_num_threads(spec.threads)
        self.spec = spec
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.volumes = open_cache(node_copy(spec.cache))
        self._sum_seconds = 0.0
        self._take_place(0, 1, shares)

    def join(self, rendezvous: str, rank: int, count: int, shares: int) -> None:
        """Enter the process group of the pool, with fresh weights; `rendezvous` is host:port of rank 0."""
        self.leave()
        self._take_place(rank, count, shares)
        if count > 1:
            dist.init_process_group(
                "nccl" if self.device.type == "cuda" else "gloo",
                init_method=f"tcp://{rendezvous}",
                rank=rank,
                world_size=count,
                timeout=timedelta(seconds=COLLECTIVE_SECONDS),
            )

    def leave(self) -> None:
        """Leave the process group, also one that a lost worker has broken."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def run_round(self, task: RoundTask) -> list[RoundReport]:
        """Train K steps and report this worker's shares. Raises DivergedError, MemoryExhaustedError."""
        torch.set_num_threads(self.spec.threads)  # Ray may call from another thread, and OpenMP keeps it by thread
        self._sum_seconds = 0.0
        with self._freeing_others():
            reports = take_turns([partial(share.run_round, task) for share in self.shares], self._sum)
        return [replace(report, sum_seconds=self._sum_seconds) for report in reports]

    def evaluate(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Score rows of this worker's part of the pairs: every `count`-th from `rank`."""
        own = list(pairs)[self.rank :: self.count]
        network = self.shares[0].network
        network.eval()
        rows = []
        for pair in own:
            displacement = register_pair(network, self.volumes, pair, device=self.device)
            rows.append(score_pair(displacement, self.volumes, pair, self.spec.labels))
        network.train()
        return rows

    def architecture_objectives(
        self, alphas: Sequence[np.ndarray], loss_weights: np.ndarray, steps: Sequence[int]
    ) -> list[np.ndarray]:
        """Each of its shares of R_val for each alpha and batch, (alphas, steps)."""
        return [share.architecture_objectives(alphas, loss_weights, steps) for share in self.shares]

    def measure_costs(self, image_shape: Sequence[int]) -> dict[str, Costs]:
        """What the choices of the supernet cost on this device, for images of this shape once padded."""
        choices = choices_from_dict(self.spec.network["supernet"])
        multiple = choices.largest.multiple
        padded = [-(-n // multiple) * multiple for n in image_shape]
        with torch.random.fork_rng(devices=[]):
            return measure_costs(choices, padded, self.device)

    def state(self) -> State:
        """A copy of weights and moments, the same on every worker."""
        return self.shares[0].state()

    def load(self, state: State) -> None:
        """Continue from a `state()`."""
        for share in self.shares:
            share.load(state)

    def _take_place(self, rank: int, count: int, shares: int) -> None:
        self.rank, self.count, self.share_count = rank, count, shares
        self.shares = [Share(self.spec, self.volumes, self.device, i, shares) for i in range(rank, shares, count)]

    def _sum(self, own: Tensor) -> Tensor:
        start = time.perf_counter()
        total = sum_over_shares(own, shares=self.share_count, rank=self.rank, count=self.count)
        self._sum_seconds += time.perf_counter() - start
        return total

    @contextmanager
    def _freeing_others(self) -> Iterator[None]:
        """A worker that fails leaves the group: the others, waiting for its part of a sum, then fail at once."""
        try:
            yield
        except BaseException as error:
            self.leave()
            if _out_of_memory(error):
                raise MemoryExhaustedError(f"worker {self.rank}: {' '.join(str(error).split())[:200]}") from None
            raise


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the device or of the host (torch has no type of its own for the latter)."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)

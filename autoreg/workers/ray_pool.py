"""Workers as Ray actors. Ray places them, moves their messages and sees them die; torch sums their gradients."""

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

for _name, _value in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}.items():
    os.environ.setdefault(_name, _value)  # Ray reads these when it is imported

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from autoreg.errors import AutoRegError, WorkerError
from autoreg.networks import Costs
from autoreg.workers.config import WorkerConfig
from autoreg.workers.messages import RoundReport, RoundTask, State, WorkerSpec
from autoreg.workers.pool import interleave
from autoreg.workers.worker import Worker

_OBJECT_STORE_BYTES = 512 * 2**20
_POLL_SECONDS = 1.0
_GRACE_SECONDS = 5.0
_START_SECONDS = 180.0
LOOPBACK = "127.0.0.1"


def connect(config: WorkerConfig) -> None:
    """Join the cluster at `config.address`, or start one on loopback with room for the workers."""
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if config.address:
        ray.init(address=config.address, **quiet)
        return
    cpus = max(os.cpu_count() or 1, config.count * config.threads)
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        _node_ip_address=LOOPBACK,
        **quiet,
    )


class _Actor(Worker):
    """A worker that can say where it is."""

    def rendezvous(self) -> str:
        """host:port on this worker's node, free just now."""
        host = ray.util.get_node_ip_address()
        if host == LOOPBACK:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        with socket.socket() as probe:
            probe.bind((host, 0))
            return f"{host}:{probe.getsockname()[1]}"

    def process(self) -> int:
        """Process id; also the sign of being alive."""
        return os.getpid()


class RayPool:
    """`config.count` workers as actors of one Ray cluster.

    Args:
        spec: of every worker.
        config: number and resources.
        heartbeat: called about once a second while workers work.
    """

    def __init__(self, spec: WorkerSpec, config: WorkerConfig, *, heartbeat: Callable[[], None] = lambda: None) -> None:
        connect(config)
        self.spec, self.config, self.heartbeat = spec, config, heartbeat
        self.device = "cuda" if config.gpus else "cpu"
        self._actors: list[Any] = [self._start(rank) for rank in range(config.count)]
        self._join()

    @property
    def count(self) -> int:
        return len(self._actors)

    def processes(self) -> list[int]:
        """Process ids of the workers, by rank."""
        return self._all("process", timeout=_START_SECONDS)

    def run_round(self, task: RoundTask) -> list[RoundReport]:
        return self._all("run_round", task)

    def evaluate(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return interleave(self._all("evaluate", list(pairs)))

    def architecture_objectives(
        self, alphas: Sequence[np.ndarray], loss_weights: np.ndarray, steps: Sequence[int]
    ) -> np.ndarray:
        return np.sum(self._all("architecture_objectives", list(alphas), loss_weights, list(steps)), axis=0)

    def measure_costs(self, image_shape: Sequence[int]) -> dict[str, Costs]:
        call = self._actors[0].measure_costs.remote(tuple(image_shape))  # the others idle, so nothing disturbs it
        return self._get([call], "measure_costs", self.config.timeout_seconds)[0]

    def state(self) -> State:
        return self._get([self._actors[0].state.remote()], "state", self.config.timeout_seconds)[0]

    def load(self, state: State) -> None:
        self._all("load", ray.put(state))

    def repair(self) -> None:
        """Replace workers that do not answer, then form a new process group of all."""
        for rank, actor in enumerate(self._actors):
            try:
                ray.get(actor.process.remote(), timeout=_GRACE_SECONDS)
            except (RayActorError, GetTimeoutError):
                ray.kill(actor)
                self._actors[rank] = self._start(rank)
        self._join()

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def _start(self, rank: int) -> Any:
        options = {"num_cpus": self.config.threads, "num_gpus": self.config.gpus}
        return ray.remote(_Actor).options(**options).remote(self.spec, rank, self.config.count)

    def _join(self) -> None:
        place = self._get([self._actors[0].rendezvous.remote()], "start", _START_SECONDS)[0]
        calls = [a.join.remote(place, rank, self.count) for rank, a in enumerate(self._actors)]
        self._get(calls, "join", _START_SECONDS)

    def _all(self, method: str, *arguments: Any, timeout: float | None = None) -> list[Any]:
        calls = [getattr(actor, method).remote(*arguments) for actor in self._actors]
        return self._get(calls, method, timeout or self.config.timeout_seconds)

    def _get(self, calls: list[Any], task: str, timeout: float) -> list[Any]:
        """Results in order; the first failure ends the wait, since the others may hang without their peer."""
        end = time.monotonic() + timeout
        waiting = list(calls)
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1, timeout=_POLL_SECONDS)
            self.heartbeat()
            for call in done:
                self._raise_failure(call, calls, task)
            if waiting and time.monotonic() > end:
                raise WorkerError(f"workers {task}: no answer within {timeout:.0f} s ({_resources()})")
        return ray.get(calls)

    def _raise_failure(self, call: Any, calls: list[Any], task: str) -> None:
        try:
            ray.get(call)
        except RayActorError as error:
            raise WorkerError(f"worker {calls.index(call)}: lost during {task}: {_first_line(error)}") from error
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, AutoRegError):
                raise cause from None
            # the peer of a lost worker fails in a collective before Ray reports the loss
            raise WorkerError(f"worker {calls.index(call)}: failed during {task}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if isinstance(error, RayTaskError) and lines else (lines or [type(error).__name__])[0]


def _resources() -> str:
    return f"cluster holds {ray.cluster_resources()}, free are {ray.available_resources()}"

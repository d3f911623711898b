"""Workers as Ray actors. Ray places them, moves their messages and sees them die; torch sums their gradients."""

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

for _name, _value in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}.items():
    os.environ.setdefault(_name, _value)  # Ray reads these when it is imported

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from autoreg.errors import AutoRegError, MemoryExhaustedError, WorkerError
from autoreg.networks import Costs
from autoreg.workers.config import WorkerConfig
from autoreg.workers.limits import TimeLimits
from autoreg.workers.messages import RoundReport, RoundTask, State, WorkerSpec, complete
from autoreg.workers.pool import check_shares, in_share_order, interleave
from autoreg.workers.worker import Worker

_OBJECT_STORE_BYTES = 512 * 2**20
_POLL_SECONDS = 1.0
_GRACE_SECONDS = 5.0
_START_SECONDS = 180.0
_ROOM_SECONDS = 10.0
_FAILED_STARTS = 3
LOOPBACK = "127.0.0.1"
logger = logging.getLogger(__name__)


def connect(config: WorkerConfig) -> None:
    """Join the cluster at `config.address`, or start one on loopback with room for the workers."""
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if config.address:
        ray.init(address=config.address, **quiet)
        return
    cpus = max(os.cpu_count() or 1, config.most * config.threads)
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        _node_ip_address=LOOPBACK,
        **quiet,
    )


class _Actor(Worker):
    """A worker that can say where it is, and that it lives while it works."""

    def rendezvous(self) -> str:
        """host:port on this worker's node, free just now."""
        host = ray.util.get_node_ip_address()
        if host == LOOPBACK:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        with socket.socket() as probe:
            probe.bind((host, 0))
            return f"{host}:{probe.getsockname()[1]}"

    def process(self) -> int:
        """Process id; also the sign of being idle."""
        return os.getpid()

    @ray.method(concurrency_group="pulse")
    def pulse(self) -> int:
        """The sign of being alive: answered at once, also in the middle of a round."""
        return os.getpid()


class _Hired(NamedTuple):
    """A worker that Ray was asked for and that has not answered yet."""

    actor: Any
    answer: Any


class RayPool:
    """Up to `config.most` workers as actors of one Ray cluster, not fewer than `config.fewest`.

    Workers that there is no room for stay asked for, so they come when a node joins.

    Args:
        spec: of every worker.
        config: number and resources.
        heartbeat: called about once a second while workers work.

    Raises:
        WorkerError: the cluster has no room for the fewest workers.
    """

    def __init__(self, spec: WorkerSpec, config: WorkerConfig, *, heartbeat: Callable[[], None] = lambda: None) -> None:
        connect(config)
        self.spec, self.config, self.heartbeat = spec, config, heartbeat
        self.shares = config.most
        self.device = "cuda" if config.gpus else "cpu"
        self._limits = TimeLimits(config)
        self._actors: list[Any] = []
        self._hired: list[_Hired] = []
        self._failed_starts = 0
        self.repair()

    @property
    def count(self) -> int:
        return len(self._actors)

    def processes(self) -> list[int]:
        """Process ids of the workers, by rank."""
        return self._all("process")

    def run_round(self, task: RoundTask) -> list[RoundReport]:
        levels = f"{task.update_alpha} {task.update_loss_weights} {len(task.learning_rates)} {self.count}"
        found = self._all("run_round", task, kind=f"round {levels}")
        return complete((report for reports in found for report in reports), task, self.shares)

    def evaluate(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return interleave(self._all("evaluate", list(pairs), kind=f"evaluate {len(pairs)} {self.count}"))

    def architecture_objectives(
        self, alphas: Sequence[np.ndarray], loss_weights: np.ndarray, steps: Sequence[int]
    ) -> np.ndarray:
        kind = f"objectives {len(alphas) * len(steps)} {self.count}"
        found = self._all("architecture_objectives", list(alphas), loss_weights, list(steps), kind=kind)
        return in_share_order(found).sum(axis=0)

    def measure_costs(self, image_shape: Sequence[int]) -> dict[str, Costs]:
        call = self._actors[0].measure_costs.remote(tuple(image_shape))  # the others idle, so nothing disturbs it
        return self._get([call], "measure_costs")[0]

    def state(self) -> State:
        return self._get([self._actors[0].state.remote()], "state")[0]

    def load(self, state: State) -> None:
        self._all("load", ray.put(state))

    def repair(self) -> None:
        self._dismiss_lost()
        self._hire()
        self._await_hired()
        self._join()

    def divide(self, shares: int) -> None:
        check_shares(shares, self.spec)
        self.shares = shares

    def grow(self, state: State | None) -> None:
        self._hire()
        if self._take_in():
            self._join()
            if state is not None:
                self.load(state)

    def close(self) -> None:
        for actor in [*self._actors, *(hired.actor for hired in self._hired)]:
            ray.kill(actor)
        self._actors, self._hired = [], []

    def _dismiss_lost(self) -> None:
        """First those that give no sign of life: their peers, waiting for them, then become idle or go, too."""
        for sign in ("pulse", "process"):
            signs = [getattr(actor, sign).remote() for actor in self._actors]
            kept = []
            end = time.monotonic() + _GRACE_SECONDS
            for actor, answer in zip(self._actors, signs, strict=True):
                try:
                    ray.get(answer, timeout=max(end - time.monotonic(), 0.1))
                    kept.append(actor)
                except (RayActorError, GetTimeoutError):
                    ray.kill(actor)
            self._actors = kept

    def _hire(self) -> None:
        """Ask for as many workers as are missing; Ray places them where and when there is room."""
        most = min(self.config.most, self.shares)
        while len(self._actors) + len(self._hired) < most and self._failed_starts < _FAILED_STARTS:
            options: dict[str, Any] = {"num_cpus": self.config.threads, "num_gpus": self.config.gpus}
            kind: Any = ray.remote(concurrency_groups={"pulse": 1})  # pyright: ignore[reportCallIssue]
            actor = kind(_Actor).options(**options).remote(self.spec)
            self._hired.append(_Hired(actor, actor.process.remote()))

    def _await_hired(self) -> None:
        """Until all are there; once the fewest are, others only get a moment, since they may have no room."""
        start = time.monotonic()
        self._failed_starts = 0
        while self._hired:
            ray.wait([hired.answer for hired in self._hired], num_returns=1, timeout=_POLL_SECONDS)
            self.heartbeat()
            self._take_in()
            waited = time.monotonic() - start
            if self._hired and len(self._actors) >= self.config.fewest and waited > _ROOM_SECONDS:
                logger.warning("going on with %d workers of %d", self.count, self.config.most)
                return
            if waited > _START_SECONDS:
                each = f"each {self.config.threads} CPUs and {self.config.gpus:g} GPUs"
                raise WorkerError(
                    f"workers start: room for {self.count}, need {self.config.fewest}, {each} ({_resources()})"
                )
            self._hire()

    def _take_in(self) -> bool:
        """Make members of those that have answered."""
        waiting: list[_Hired] = []
        before = self.count
        for hired in self._hired:
            if not ray.wait([hired.answer], timeout=0)[0]:
                waiting.append(hired)
                continue
            try:
                ray.get(hired.answer)
                self._actors.append(hired.actor)
                self._failed_starts = 0
            except RayError as error:
                self._failed_starts += 1
                if self._failed_starts >= _FAILED_STARTS and self.count < self.config.fewest:
                    raise WorkerError(f"worker cannot start: {_cause(error)}") from error
        self._hired = waiting
        return self.count > before

    def _join(self) -> None:
        place = self._get([self._actors[0].rendezvous.remote()], "start")[0]
        calls = [a.join.remote(place, rank, self.count, self.shares) for rank, a in enumerate(self._actors)]
        self._get(calls, "join")

    def _all(self, method: str, *arguments: Any, kind: str | None = None) -> list[Any]:
        calls = [getattr(actor, method).remote(*arguments) for actor in self._actors]
        return self._get(calls, method, kind=kind)

    def _get(self, calls: list[Any], task: str, *, kind: str | None = None) -> list[Any]:
        """Results in order; the first failure ends the wait, since the others may hang without their peer."""
        start = time.monotonic()
        limit = self._limits.of(kind or task) if task not in ("start", "join") else _START_SECONDS
        pulses = _Pulses(self._actors, self.config.heartbeat_seconds)
        waiting = list(calls)
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1, timeout=_POLL_SECONDS)
            self.heartbeat()
            if any(_failed(call) for call in done):
                raise self._failure(calls, task)
            if waiting and (silent := pulses.silent()):
                raise WorkerError(
                    f"worker {silent[0]}: no sign of life for {self.config.heartbeat_seconds:.0f} s in {task}"
                )
            if waiting and time.monotonic() - start > limit:
                raise WorkerError(f"workers {task}: no answer within {limit:.0f} s ({_resources()})")
        self._limits.note(kind or task, time.monotonic() - start)
        return ray.get(calls)

    def _failure(self, calls: list[Any], task: str) -> AutoRegError:
        """What went wrong first: peers of a worker that fails or dies fail, too, and may be heard earlier."""
        done, _ = ray.wait(calls, num_returns=len(calls), timeout=_GRACE_SECONDS)
        errors = [(calls.index(call), error) for call in done if (error := _failed(call))]
        for _, error in errors:
            if isinstance(error, RayTaskError) and isinstance(error.cause, AutoRegError):
                return error.cause
        errors.sort(key=lambda pair: isinstance(pair[1], RayTaskError))
        worker, error = errors[0]
        if "memory" in str(error) and "low on memory" in str(error):
            return MemoryExhaustedError(f"worker {worker}: ended in {task}, its node was low on memory")
        verb = "failed" if isinstance(error, RayTaskError) else "lost"
        return WorkerError(f"worker {worker}: {verb} during {task}: {_cause(error)}")


class _Pulses:
    """Signs of life of workers that are busy."""

    def __init__(self, actors: Sequence[Any], seconds: float) -> None:
        self._actors, self._seconds = list(actors), seconds
        self._asked = [(time.monotonic(), actor.pulse.remote()) for actor in self._actors]

    def silent(self) -> list[int]:
        """Ranks that did not answer in time; dead ones are not among them, their calls end by themselves."""
        found = []
        now = time.monotonic()
        for rank, (asked, answer) in enumerate(self._asked):
            answered = bool(ray.wait([answer], timeout=0)[0])
            if not answered and now - asked > self._seconds:
                found.append(rank)
            elif answered and now - asked > self._seconds / 4:
                self._asked[rank] = (now, self._actors[rank].pulse.remote())
        return found


def _failed(call: Any) -> RayError | None:
    """The error of a finished call."""
    try:
        ray.get(call)
    except RayError as error:
        return error
    return None


def _cause(error: BaseException) -> str:
    """One line of what Ray says: under a traceback the last one, else the first."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    traceback = isinstance(error, RayTaskError) or "creation task" in lines[0]
    return lines[-1] if traceback else lines[0]


def _resources() -> str:
    """CPUs and GPUs of the cluster, all and free."""
    return "; ".join(
        f"{what} are {held.get('CPU', 0):g} CPUs and {held.get('GPU', 0):g} GPUs"
        for what, held in (("in the cluster", ray.cluster_resources()), ("free", ray.available_resources()))
    )

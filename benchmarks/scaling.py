"""How a search scales: measured over real workers, and simulated for many.

    python benchmarks/scaling.py measure --workers 1 2       real Ray workers on this machine: weak and strong scaling
    python benchmarks/scaling.py simulate --workers 8 512    the real controller, workers that sleep a round long

Strong: the same batch over more workers. Weak: as many pairs a worker, so a larger batch. The simulation runs the loop,
its messages (pickled for each worker, as Ray does), checkpoints, ledger and history; only the workers' work is sleep.
"""

import argparse
import json
import pickle
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.config import Config, config_from_dict, load_space
from autoreg.data.synthetic import make_phantoms
from autoreg.search.controller import SearchDriver
from autoreg.search.rounds import Journal, run_rounds
from autoreg.setting import open_setting, search_spec
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.tracker import MemoryTracker
from autoreg.workers.config import WorkerConfig
from autoreg.workers.messages import RoundReport, RoundTask, State, WorkerSpec, complete
from autoreg.workers.pool import LocalPool


class SleepingPool(LocalPool):
    """Many workers with one share each: each gets its message, sleeps as long as a real one works, and answers."""

    def __init__(self, spec: WorkerSpec, workers: int, seconds: float) -> None:
        super().__init__(spec)
        self.count = self.shares = workers
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(workers)
        self._reports: dict[tuple[bool, bool], RoundReport] = {}
        self._state = pickle.dumps(self.worker.state())

    def run_round(self, task: RoundTask) -> list[RoundReport]:
        kind = (task.update_alpha, task.update_loss_weights)
        if kind not in self._reports:
            self._reports[kind] = self.worker.run_round(task)[0]
        messages = [pickle.dumps(task) for _ in range(self.count)]
        answers = self._threads.map(lambda rank: self._work(messages[rank], rank), range(self.count))
        return complete([pickle.loads(answer) for answer in answers], task, self.shares)

    def _work(self, message: bytes, rank: int) -> bytes:
        task: RoundTask = pickle.loads(message)
        time.sleep(self._seconds)
        report = self._reports[task.update_alpha, task.update_loss_weights]
        shares = {name: getattr(report, name) for name in ("terms", "alpha_direct", "alpha_indirect")}
        shares |= {name: getattr(report, name) for name in ("architecture_terms", "loss_weights_gradient")}
        parts = {name: None if value is None else value / self.count for name, value in shares.items()}
        upper = {name: value / self.count for name, value in report.upper.items()}
        return pickle.dumps(replace(report, index=task.index, rank=rank, upper=upper, **parts))

    def state(self) -> State:
        return pickle.loads(self._state)


def search(config: Config, dataset: Path, pool_of: Any, folder: Path) -> list[dict[str, Any]]:
    """History rows of a search, each with the wall time since the one before."""
    setting = open_setting(config, dataset)
    space = load_space(config.space, dims=setting.dims)
    pool = pool_of(search_spec(config, setting, space, setting.roles(0)))
    driver = SearchDriver(space, config.search, bounds=config.score.bounds, seed=0)
    ends: list[float] = [time.perf_counter()]
    journal = Journal(folder, Ledger(folder / "cost.jsonl"), MemoryTracker())
    journal.progress = lambda done, total, row: ends.append(time.perf_counter())
    run_rounds(driver, pool, journal, resume=False)
    pool.close()
    return [{**row, "wall": end - start} for row, start, end in zip(journal.rows, ends, ends[1:], strict=False)]


def configured(space: str, rounds: int, batch: int) -> Config:
    return config_from_dict(
        {"space": space, "search": {"rounds": rounds, "warmup_rounds": 2, "steps_per_round": 4, "batch_size": batch}},
        "benchmark",
    )


def median(rows: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(float(row[name]) for row in rows[3:])


def measure(given: argparse.Namespace, dataset: Path, home: Path) -> list[dict[str, Any]]:
    from autoreg.workers.ray_pool import RayPool

    found = []
    for kind in ("strong", "weak"):
        for workers in given.workers:
            batch = max(given.workers) if kind == "strong" else workers
            config = configured(given.space, given.rounds, batch)
            rows = search(
                config, dataset, lambda spec, n=workers: RayPool(spec, WorkerConfig(count=n)), home / f"{kind}{workers}"
            )
            seconds, wall = median(rows, "seconds"), median(rows, "wall")
            found.append({"scaling": kind, "workers": workers, "pairs": batch, "round s": seconds})
            found[-1] |= {"in sums s": median(rows, "sum_seconds"), "pairs a second": 4 * batch / seconds}
            found[-1] |= {"between rounds s": wall - seconds}
            print(found[-1], flush=True)
    return found


def simulate(given: argparse.Namespace, dataset: Path, home: Path) -> list[dict[str, Any]]:
    found = []
    for workers in given.workers:
        config = configured(given.space, given.rounds, 2)
        rows = search(
            config, dataset, lambda spec, n=workers: SleepingPool(spec, n, given.seconds), home / f"simulated{workers}"
        )
        wall = median(rows, "wall")
        found.append({"workers": workers, "round s": wall, "controller s": wall - given.seconds})
        found[-1] |= {"efficiency": given.seconds / wall}
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "simulate"])
    parser.add_argument("--workers", type=int, nargs="+", required=True)
    parser.add_argument("--space", default="tiny")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--shape", default="24,24,24")
    parser.add_argument("--seconds", type=float, default=1.0, help="A round of a sleeping worker.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    shape = tuple(int(n) for n in given.shape.split(","))
    with tempfile.TemporaryDirectory() as home:
        dataset = make_phantoms(Path(home) / "data", subjects=8, shape=shape, seed=0)
        work = {"measure": measure, "simulate": simulate}[given.what]
        found = work(given, dataset, Path(home))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    names = list(found[0])
    print("|" + "|".join(names) + "|\n|" + "---|" * len(names))
    for row in found:
        print("|" + "|".join(f"{row[n]:.3g}" if isinstance(row[n], float) else str(row[n]) for n in names) + "|")


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()

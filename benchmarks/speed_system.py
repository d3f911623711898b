"""What is timed beside the numerical core: opening volumes, rounds on Ray, logging, the start of a command.

Each case is a context that gives a size and contenders, the first one ours.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from autoreg.config import Config, load_config, load_space
from autoreg.data.nifti import read_image
from autoreg.data.prepare import load_volume
from autoreg.data.shards import open_cache
from autoreg.data.synthetic import make_phantoms
from autoreg.setting import Setting, open_pool, open_setting, training_spec
from autoreg.tracking.mlflow_tracker import open_tracker
from autoreg.trilevel import LossWeights
from autoreg.workers.messages import RoundTask

SHAPE = (48, 64, 48)
Works = dict[str, Callable[[], object]]


@contextmanager
def _volumes(dataset: Path | None) -> Iterator[tuple[Path, Config, Setting]]:
    """A folder to write in, and the volumes of a dataset.json, or phantoms."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        dataset = dataset or make_phantoms(home / "data", subjects=8, shape=SHAPE, seed=0)
        overrides = ["space=compact", f"data.cache={home / 'cache'}", f"tracking.home={home}"]
        config = load_config(None, overrides)
        yield home, config, open_setting(config, dataset)


@contextmanager
def opening(dataset: Path | None) -> Iterator[tuple[str, Works]]:
    """Eight volumes of a set into memory: from the cache, and from .nii.gz."""
    with _volumes(dataset) as (_, config, setting):
        entries = list(setting.dataset.entries.values())[:8]
        shape = tuple(setting.image_shape)
        opened = open_cache(setting.cache)

        def from_cache() -> float:
            return sum(float(np.asarray(opened[entry.key].image).sum()) for entry in entries)

        def from_new_cache() -> float:
            volumes = open_cache(setting.cache)
            return sum(float(np.asarray(volumes[entry.key].image).sum()) for entry in entries)

        def from_files() -> float:
            return sum(float(read_image(entry.image_path)[0].sum()) for entry in entries)

        yield (
            f"{len(entries)} of {shape}",
            {
                "the cache, as a worker has it open": from_cache,
                "the cache, opened first": from_new_cache,
                ".nii.gz": from_files,
                ".nii.gz, checked and normalised": lambda: [load_volume(entry, config.data) for entry in entries],
            },
        )


@contextmanager
def orchestration(dataset: Path | None) -> Iterator[tuple[str, Works]]:
    """The same round of four weight steps in this process, and in one Ray actor."""
    with _volumes(dataset) as (_, config, setting):
        space = load_space(config.space, dims=setting.dims)
        network = {"name": "all-conv3", "architecture": asdict(space.architecture)}
        spec = training_spec(config, setting, space, setting.roles(0), network)
        weights = LossWeights([term.weight_range for term in space.terms]).values().numpy()
        task = RoundTask(0, 0, (1e-4,) * 4, weights)
        local = load_config(None, ["space=compact", "workers.local=true"])
        with open_pool(spec, local, lambda: None) as here, open_pool(spec, config, lambda: None) as there:
            yield (
                f"4 steps of {tuple(setting.image_shape)}",
                {
                    "in one process": lambda: here.run_round(task),
                    "Ray, one worker": lambda: there.run_round(task),
                    "one process, and the state fetched": lambda: (here.run_round(task), here.state()),
                    "Ray, one worker, and the state fetched": lambda: (there.run_round(task), there.state()),
                },
            )


@contextmanager
def logging_(dataset: Path | None) -> Iterator[tuple[str, Works]]:
    """What a round of a search waits for its metrics: beside a client that sends them one by one."""
    names = [f"metric.{i}" for i in range(100)]
    with tempfile.TemporaryDirectory() as folder:
        tracker = open_tracker(None, experiment="speed", run_name="speed", home=Path(folder), tags={}, params={})
        step = iter(range(10**9))

        def one_by_one() -> None:
            from mlflow import MlflowClient

            client, now = MlflowClient(f"sqlite:///{(Path(folder) / 'mlflow.db').resolve()}"), next(step)
            for name in names:
                client.log_metric(str(tracker.run_id), name, 0.5, step=now)

        def ours() -> None:
            tracker.metrics(dict.fromkeys(names, 0.5), step=next(step))

        try:
            yield "100 metrics", {"autoreg, as a round waits": ours, "one call a metric": one_by_one}
        finally:
            tracker.close("FINISHED")


@contextmanager
def start(dataset: Path | None) -> Iterator[tuple[str, Works]]:
    """A process of its own: the help, the imports of `register`, and Python with torch alone."""

    def run(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    registering = "import autoreg.registering"
    yield (
        "a process",
        {
            "autoreg --help": run("-m", "autoreg", "--help"),
            "imports of autoreg register": run("-c", registering),
            "import torch": run("-c", "import torch"),
        },
    )


SYSTEM_CASES: dict[str, Callable[[Path | None], AbstractContextManager[tuple[str, Works]]]] = {
    "opening volumes": opening,
    "orchestration": orchestration,
    "logging": logging_,
    "start": start,
}

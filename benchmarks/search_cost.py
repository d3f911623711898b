"""What a round of the search costs, in training steps of all-conv3, side by side in one process.

    python benchmarks/search_cost.py                                  generated phantoms
    python benchmarks/search_cost.py --dataset hippocampus/dataset.json --json cost.json

Every variant takes its turn in each repetition; a ratio is the median over repetitions of seconds a weight step (the
round's upper parts included) to seconds a training step. One worker, one thread.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from autoreg.config import Config, config_from_dict, load_space
from autoreg.data.synthetic import make_phantoms
from autoreg.setting import Setting, open_setting, search_spec, training_spec
from autoreg.trilevel import LossWeights
from autoreg.workers.messages import RoundReport, RoundTask
from autoreg.workers.worker import Worker

UPPER = {"update_alpha": True, "update_loss_weights": True}
FULL = {"alpha_step": 0.15}
BY_TERM = {"loss_weights_estimator": "dot_product"}
UNROLLED = {"loss_weights_estimator": "unrolled", "horizon": 2}
RELAXATIONS = ("softmax", "partial-channel", "single-path")


def rounds(setting: Setting, config: Config) -> dict[str, tuple[int, Callable[[], RoundReport]]]:
    """Name -> (steps, round), each on a worker of its own."""
    space = load_space(config.space, dims=setting.dims)
    roles = setting.roles(0)
    weights = LossWeights([term.weight_range for term in space.terms]).values().numpy()
    alpha = np.where(space.choices.there, 0.0, -np.inf).astype(np.float32)

    def plain(steps: int) -> Callable[[], RoundReport]:
        network = {"name": "all-conv3", "architecture": asdict(space.architecture)}
        worker = Worker(training_spec(config, setting, space, roles, network))
        return lambda: worker.run_round(RoundTask(0, 0, (1e-4,) * steps, weights))[0]

    def search(relaxation: str, steps: int, activation: str = "inside", **task: object) -> Callable[[], RoundReport]:
        chosen = replace(config, search=replace(config.search, relaxation=relaxation, activation=activation))
        worker = Worker(search_spec(chosen, setting, space, roles))
        return lambda: worker.run_round(RoundTask(0, 0, (1e-4,) * steps, weights, alpha, **task))[0]  # type: ignore[arg-type]

    variants = {"training step": (4, plain(4))}
    for relaxation in RELAXATIONS:
        variants[f"{relaxation}, weights only"] = (4, search(relaxation, 4))
        variants[f"{relaxation}, K=4, a backward pass a term"] = (4, search(relaxation, 4, **UPPER, **BY_TERM))
        for steps in (4, 12, 20):
            variants[f"{relaxation}, K={steps}"] = (steps, search(relaxation, steps, **UPPER))
        variants[f"{relaxation}, K=12, lambda through 2 steps"] = (12, search(relaxation, 12, **UPPER, **UNROLLED))
    variants["softmax, K=4, kernels merged"] = (4, search("softmax", 4, "after_sum", **UPPER))
    return variants | {"softmax, K=4, both paths": (4, search("softmax", 4, **UPPER, **FULL))}


def agreement(reports: dict[str, RoundReport]) -> dict[str, float]:
    """How lambda's gradient through the output (float32) differs from the exact one, relative to its length."""
    found = {}
    for relaxation in RELAXATIONS:
        exact = reports[f"{relaxation}, K=4, a backward pass a term"].loss_weights_gradient
        cheap = reports[f"{relaxation}, K=4"].loss_weights_gradient
        assert exact is not None and cheap is not None
        found[relaxation] = float(np.linalg.norm(cheap - exact) / np.linalg.norm(exact))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--space", default="compact")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = given.dataset or make_phantoms(Path(folder) / "data", subjects=12, shape=(48, 64, 48), seed=0)
        config = config_from_dict({"space": given.space}, "benchmark")
        setting = open_setting(config, dataset)
        variants = rounds(setting, config)
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        reports: dict[str, RoundReport] = {}
        for repetition in range(given.repeat + 1):
            for name, (steps, run) in variants.items():
                start = time.perf_counter()
                reports[name] = run()
                if repetition:  # the first warms up
                    seconds[name].append((time.perf_counter() - start) / steps)
    unit = seconds["training step"]
    ratios = {n: statistics.median(a / b for a, b in zip(s, unit, strict=True)) for n, s in seconds.items()}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, space {given.space}")
    print(f"training step of all-conv3: {statistics.median(unit):.3f} s\n")
    for name, ratio in ratios.items():
        print(f"{name:<46} {ratio:6.2f}")
    off = agreement(reports)
    print("\nlambda's gradient through the output, relative distance from the exact one:")
    for relaxation, value in off.items():
        print(f"{relaxation:<46} {value:.2g}")
    if given.json:
        given.json.write_text(json.dumps({"torch": torch.__version__, "ratios": ratios, "agreement": off}, indent=2))


if __name__ == "__main__":
    main()

"""Whether a supernet learns at all in the length of a search, beside the plain network: terms of R over the steps.

    python benchmarks/supernet.py --dataset hippocampus/dataset.json --config launchers/configs/hippocampus.yaml

Every variant trains its weights on the same pairs with the loss weights' starts, on one thread; a row has the means of
the similarity and of the label term over the first and over the last 20 steps. A hypergradient through a network that
has not begun to learn says nothing of one that has.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autoreg.config import Config, load_config, load_space
from autoreg.registration.space import OVERLAP, SearchSpace
from autoreg.search.controller import SearchDriver
from autoreg.setting import Setting, open_setting, search_spec, training_spec
from autoreg.trilevel import LossWeights
from autoreg.workers.messages import RoundTask
from autoreg.workers.worker import Worker

PLAIN = "all-conv3"
VARIANTS = (
    ("single-path", 0.0),
    ("single-path", 0.7),
    ("single-path", 0.93),
    ("partial-channel", 0.0),
    ("partial-channel", 0.7),
    ("softmax", 0.0),
    ("softmax", 0.7),
)
"""Relaxation, and share of the stated option."""
WINDOW = 20


def learned(worker: Worker, config: Config, space: SearchSpace, alpha: np.ndarray | None, steps: int) -> np.ndarray:
    """Terms of each window of steps, (windows, terms)."""
    weights = LossWeights([term.weight_range for term in space.terms]).values().numpy()
    rows = []
    for first in range(0, steps, WINDOW):
        rates = tuple(config.search.learning_rate_at(step) for step in range(first, first + WINDOW))
        rows.append(worker.run_round(RoundTask(first // WINDOW, first, rates, weights, alpha))[0].terms)
    return np.stack(rows)


def variants(config: Config, setting: Setting, space: SearchSpace, only: list[str] | None):
    """Name, worker and alpha of each."""
    roles = setting.roles(config.seed)
    yield PLAIN, Worker(training_spec(config, setting, space, roles, space.named_network(PLAIN))), None
    for relaxation, stated in VARIANTS:
        if only and relaxation not in only:
            continue
        own = replace(config, search=replace(config.search, relaxation=relaxation, stated=stated))
        driver = SearchDriver(space, own.search, bounds=own.score.bounds, seed=own.seed)
        yield f"{relaxation}, {stated:g}", Worker(search_spec(own, setting, space, roles)), driver.task(0).alpha


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--only", nargs="+", help="These relaxations [default: all].")
    given = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(given.config)
    setting = open_setting(config, given.dataset)
    space = load_space(config.space, dims=setting.dims)
    similarity = next(i for i, term in enumerate(space.terms) if term.reference)
    overlap = next(i for i, term in enumerate(space.terms) if term.kind == OVERLAP)
    names = space.terms[similarity].name, space.terms[overlap].name
    print(
        f"| supernet, share of the stated option | {names[0]}: first, last | {names[1]}: first, last |\n|---|---|---|"
    )
    for name, worker, alpha in variants(config, setting, space, given.only):
        terms = learned(worker, config, space, alpha, given.steps)
        told = [f"{terms[0, i]:.3f}, {terms[-1, i]:.3f}" for i in (similarity, overlap)]
        print(f"| {name} | {told[0]} | {told[1]} |", flush=True)


if __name__ == "__main__":
    main()

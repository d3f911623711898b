"""How well alpha's hypergradient says what a step of alpha does to R_val, by the length of the finite difference.

    python benchmarks/alpha_gradient.py --dataset hippocampus/dataset.json --steps 60 200

After so many steps of the supernet's weights, R_val(w'(alpha), alpha) is measured with alpha moved both ways along a
few directions, each time with the step of the weights taken again: what really happens. Beside it, what the direct part
alone and direct plus indirect part say. A row is a way to take the indirect part, with its relative distance from what
happened over all directions.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from autoreg.config import config_from_dict, load_space
from autoreg.data.synthetic import make_phantoms
from autoreg.setting import open_setting, search_spec
from autoreg.trilevel import LossWeights, no_reduce
from autoreg.trilevel import response as response_module
from autoreg.trilevel.hypergradient import ESTIMATORS
from autoreg.trilevel.levels import gradients, place
from autoreg.trilevel.lower import Step
from autoreg.trilevel.response import Response
from autoreg.workers.messages import RoundTask
from autoreg.workers.worker import Worker

RATE, REACH, DIRECTIONS = 1e-3, 0.3, 6


class Bench:
    """A supernet after some steps, and the next step taken with any alpha."""

    def __init__(self, worker: Worker, weights: Tensor, alpha: Tensor, steps: int) -> None:
        self.problem, self.lower, self.weights, self.alpha, self.batch = (
            worker.shares[0].problem,
            worker.shares[0].lower,
            weights,
            alpha,
            steps,
        )
        worker.run_round(RoundTask(0, 0, (RATE,) * steps, weights.numpy(), alpha.numpy()))
        self.moments = self.lower.state()
        self.start = [w.detach().clone() for w in self.problem.weights]
        self.step = self.take(alpha)
        variable = alpha.clone().requires_grad_()
        objective = self.problem.architecture_terms(variable, steps) @ weights
        self.direct, *self.slope = gradients(objective, [variable, *self.problem.weights])

    def take(self, alpha: Tensor) -> Step:
        """One step of the weights from the start, with this alpha."""
        place(self.problem.weights, self.start)
        self.lower.load(self.moments)
        terms = self.problem.train_terms(alpha, self.batch)
        return self.lower.record(gradients(terms @ self.weights, self.problem.weights), RATE, batch=self.batch)

    def happens(self, along: Tensor) -> float:
        """Slope of R_val along a direction of alpha, the weights answering."""

        def value(alpha: Tensor) -> float:
            self.take(alpha)
            with torch.no_grad():
                return float(self.problem.architecture_terms(alpha, self.batch) @ self.weights)

        return (value(self.alpha + REACH * along) - value(self.alpha - REACH * along)) / (2 * REACH)

    def indirect(self, estimator: str, move: float) -> Tensor:
        """The indirect part, with a difference of `move` steps."""
        self.take(self.alpha)
        response_module.MOVE = move
        response = Response(self.problem, self.lower, self.weights, self.alpha, [self.step], no_reduce)
        return ESTIMATORS[estimator](response, self.slope, "alpha")


def directions(first: Tensor) -> list[Tensor]:
    """The direct part's own direction, and random ones."""
    generator = torch.Generator().manual_seed(1)
    found = [first] + [torch.randn(first.shape, generator=generator) for _ in range(DIRECTIONS - 1)]
    return [t / t.norm() for t in found]


def errors(bench: Bench) -> dict[str, float]:
    """Way -> relative distance from what happened."""
    ways: dict[str, Callable[[], Tensor]] = {"direct part alone": lambda: torch.zeros_like(bench.direct)}
    for move in (0.003, 0.03, 0.1, 0.3, 1.0):
        ways[f"difference of {move:g} steps"] = lambda move=move: bench.indirect("darts_fd", move)
    ways["torch's second derivative"] = lambda: bench.indirect("second_derivative", 1.0)
    along = directions(bench.direct)
    happened = torch.tensor([bench.happens(t) for t in along])
    found = {}
    for name, indirect in ways.items():
        said = torch.stack([((bench.direct + indirect()) * t).sum() for t in along])
        found[name] = float((said - happened).norm() / happened.norm())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--space", default="compact")
    parser.add_argument("--relaxation", default="softmax")
    parser.add_argument("--steps", type=int, nargs="+", default=[60, 200])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = given.dataset or make_phantoms(Path(folder) / "data", subjects=12, shape=(48, 48, 48), seed=0)
        config = config_from_dict({"space": given.space}, "benchmark")
        config = replace(config, search=replace(config.search, relaxation=given.relaxation))
        setting = open_setting(config, dataset)
        space = load_space(config.space, dims=setting.dims)
        weights = LossWeights([term.weight_range for term in space.terms]).values().float()
        alpha = torch.where(torch.from_numpy(space.choices.there), 0.0, -torch.inf)
        table = {
            steps: errors(Bench(Worker(search_spec(config, setting, space, setting.roles(0))), weights, alpha, steps))
            for steps in given.steps
        }
    print(f"torch {torch.__version__}, {given.relaxation}, space {given.space}: error of alpha's hypergradient\n")
    print(f"{'':<28}" + "".join(f"{f'{steps} steps':>12}" for steps in table))
    for name in next(iter(table.values())):
        print(f"{name:<28}" + "".join(f"{row[name]:>12.3f}" for row in table.values()))
    if given.json:
        given.json.write_text(json.dumps({"torch": torch.__version__, "errors": table}, indent=2))


if __name__ == "__main__":
    main()

"""What the choice on every edge costs, measured on the device at hand, and the best choice within a budget."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from autoreg.networks.architecture import Architecture, Edge
from autoreg.networks.genotype import Genotype
from autoreg.networks.primitives import make_primitive, weight_count

_REPEATS = 5
_BINS = 2000


@dataclass(frozen=True)
class Costs:
    """One kind of cost: `choices` (edges, primitives), and `rest` for all that is the same in every network."""

    choices: np.ndarray
    rest: float

    def of(self, genotype: Genotype, primitives: Sequence[str]) -> float:
        """A network's whole cost."""
        chosen = [list(primitives).index(primitive) for primitive in genotype.edges.values()]
        return self.rest + float(self.choices[np.arange(len(chosen)), chosen].sum())

    def cheapest(self) -> float:
        """The least that any network costs."""
        return self.rest + float(self.choices.min(axis=1).sum())


def measure_costs(
    architecture: Architecture, primitives: Sequence[str], space: Sequence[int], device: torch.device
) -> dict[str, Costs]:
    """Costs of a registration of one pair of images of shape `space`: `params`, `ms`, `mib`.

    `ms` is the median forward time; `mib` the memory that a training step keeps for the way back (what autograd
    saves), so both add up over edges. `rest` comes from one whole network of the first primitive everywhere.
    """
    names = ("params", "ms", "mib")
    tables = {name: np.zeros((len(architecture.edges()), len(primitives))) for name in names}
    for row, edge in enumerate(architecture.edges()):
        x = torch.rand(_input_shape(architecture, edge, space), device=device)
        for column, primitive in enumerate(primitives):
            op = make_primitive(primitive, architecture.dims, edge.c_in, edge.c_out, stride=edge.stride).to(device)
            for name, value in zip(names, _measure(op, (x,), device), strict=True):
                tables[name][row, column] = value
    first = Genotype.uniform(architecture, primitives[0])
    network = first.build().to(device)
    whole = _measure(network, tuple(torch.rand(1, 1, *space, device=device) for _ in range(2)), device)
    edges = {name: float(table[:, 0].sum()) for name, table in tables.items()}
    return {name: Costs(tables[name], max(value - edges[name], 0.0)) for name, value in zip(names, whole, strict=True)}


def best_within(
    scores: np.ndarray, costs: Mapping[str, Costs], budgets: Mapping[str, float], *, rounds: int = 60
) -> list[int]:
    """The primitive of every edge: the largest sum of `scores` (edges, primitives) whose costs stay within all budgets.

    One budget: exact up to a 2000th of it, by dynamic programming (multiple-choice knapsack; costs are rounded up, so
    the budget holds). Several: they are folded into one by their worst relative use, which is safe, not exact.

    Raises:
        ValueError: no choice stays within the budgets; names the budget and the least possible.
    """
    if not budgets:
        return scores.argmax(axis=1).tolist()
    relative = []
    for name, budget in budgets.items():
        least = costs[name].cheapest()
        if least > budget:
            raise ValueError(f"{name}: expected a budget of at least {least:.4g}, got {budget:g}")
        relative.append(costs[name].choices / (budget - costs[name].rest))
    use = np.max(relative, axis=0)
    bins = np.ceil(use * _BINS - 1e-9).astype(int)
    best = np.zeros(_BINS + 1)
    picks = []
    for edge_scores, edge_bins in zip(scores, bins, strict=True):
        options = np.full((len(edge_scores), _BINS + 1), -np.inf)
        for column, (score, size) in enumerate(zip(edge_scores, edge_bins, strict=True)):
            if size <= _BINS:
                options[column, size:] = best[: _BINS + 1 - size] + score
        picks.append(options.argmax(axis=0))
        best = options.max(axis=0)
    if not np.isfinite(best[_BINS]):
        raise ValueError(f"{', '.join(budgets)}: no network keeps all of these budgets together")
    left, chosen = _BINS, []
    for pick, edge_bins in zip(reversed(picks), reversed(bins), strict=True):
        column = int(pick[left])
        chosen.append(column)
        left -= edge_bins[column]
    return chosen[::-1]


def _input_shape(architecture: Architecture, edge: Edge, space: Sequence[int]) -> tuple[int, ...]:
    kind, level, _ = edge.name.split(".")
    steps = int(level) - (1 if edge.stride > 1 else 0)
    images = 2 if kind == "feature" else 1  # the feature cells see the fixed and the moving image
    return (images, edge.c_in, *[-(-n // 2**steps) for n in space])


def _measure(module: nn.Module, inputs: tuple[Tensor, ...], device: torch.device) -> tuple[float, float, float]:
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kept = module(*inputs)
    for parameter in module.parameters():  # kept anyway
        saved.pop(parameter.untyped_storage().data_ptr(), None)
    del kept
    seconds = []
    with torch.inference_mode():
        for _ in range(_REPEATS):
            _wait(device)
            start = time.perf_counter()
            module(*inputs)
            _wait(device)
            seconds.append(time.perf_counter() - start)
    return float(weight_count(module)), 1e3 * statistics.median(seconds), sum(saved.values()) / 2**20


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

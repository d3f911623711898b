"""What a network costs, from parts measured on the device at hand."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoreg.networks.architecture import Architecture
from autoreg.networks.cells import Edge
from autoreg.networks.choices import Choices
from autoreg.networks.convolution import convolution
from autoreg.networks.genotype import Genotype
from autoreg.networks.primitives import make_primitive, weight_count
from autoreg.networks.registration import HEAD_KERNEL, head_channels
from autoreg.networks.topology import with_structure

_REPEATS = 5
HEAD = "head"
KINDS = ("params", "ms", "mib")


@dataclass(frozen=True)
class Surface:
    """Cost of a part by its channels: measured at up to three counts a side, a polynomial through them between.

    Weights and memory are polynomials of degree 2 or less in the channels, so they are exact.
    """

    c_in: tuple[int, ...]
    c_out: tuple[int, ...]
    values: np.ndarray
    """(c_in, c_out)"""

    def at(self, c_in: int, c_out: int) -> float:
        """Cost at counts of channels; never negative."""
        return max(float(self.between(c_in, c_out)), 0.0)

    def between(self, c_in: Any, c_out: Any) -> Any:
        """The polynomial itself, at numbers or tensors."""
        rows, columns = _lagrange(self.c_in, c_in), _lagrange(self.c_out, c_out)
        return sum(r * c * float(self.values[i, o]) for i, r in enumerate(rows) for o, c in enumerate(columns))


@dataclass(frozen=True)
class Table:
    """Costs of an architecture: `choices` (edges, primitives), and `rest` for all that every choice has."""

    choices: np.ndarray
    rest: float

    def cheapest(self) -> float:
        """The least that a choice costs."""
        return self.rest + float(self.choices.min(axis=1).sum())


@dataclass(frozen=True)
class Costs:
    """One kind of cost of every network of a space."""

    parts: Mapping[str, Mapping[str, Surface]]
    """Edge -> primitive -> cost; and the convolutions that end deformation cells."""
    rest: Mapping[int, float]
    """Number of levels -> cost of all else."""

    def of(self, genotype: Genotype) -> float:
        """A network's whole cost."""
        edges = genotype.architecture.edges()
        chosen = [self.parts[edge.name][genotype.edges[edge.name]].at(edge.c_in, edge.c_out) for edge in edges]
        return self._fixed(genotype.architecture) + sum(chosen)

    def table(self, architecture: Architecture, primitives: Sequence[str]) -> Table:
        """Costs of all networks of one architecture."""
        rows = [[self.parts[e.name][p].at(e.c_in, e.c_out) for p in primitives] for e in architecture.edges()]
        return Table(np.array(rows), self._fixed(architecture))

    def cheapest(self, choices: Choices) -> float:
        """The least that a network costs: the first option of every structural choice, and the cheapest primitives."""
        smallest = choices.genotype([0] * len(choices.rows)).architecture
        return self.table(smallest, choices.primitives).cheapest()

    def _fixed(self, architecture: Architecture) -> float:
        heads = [self.parts[head.name][HEAD].at(head.c_in, head.c_out) for head in heads_of(architecture)]
        return self.rest[architecture.levels] + sum(heads)

    def to_dict(self) -> dict[str, Any]:
        """Plain values and arrays; `from_dict` gives the same costs back."""
        parts = {
            part: {name: {"c_in": list(s.c_in), "c_out": list(s.c_out), "values": s.values} for name, s in of.items()}
            for part, of in self.parts.items()
        }
        return {"parts": parts, "rest": {str(levels): value for levels, value in self.rest.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Costs":
        parts = {
            part: {
                name: Surface(tuple(s["c_in"]), tuple(s["c_out"]), np.asarray(s["values"])) for name, s in of.items()
            }
            for part, of in values["parts"].items()
        }
        return cls(parts, {int(levels): float(value) for levels, value in values["rest"].items()})


def measure_costs(choices: Choices, space: Sequence[int], device: torch.device) -> dict[str, Costs]:
    """Costs of a registration of one pair of images of shape `space`: `params`, `ms`, `mib`.

    `ms` is the median forward time; `mib` the memory that a training step keeps for the way back (what autograd
    saves), so both add up over parts. `rest` comes from whole networks of the first primitive everywhere, one
    for each number of levels.
    """
    parts: dict[str, dict[str, dict[str, Surface]]] = {kind: {} for kind in KINDS}
    ends = [{edge.name: edge for edge in (*one.edges(), *heads_of(one))} for one in _smallest(choices)]
    for edge, name, build in _parts(choices):
        low = [found[edge.name] for found in ends if edge.name in found]
        c_in = _nodes(min(e.c_in for e in low), edge.c_in)
        c_out = _nodes(min(e.c_out for e in low), edge.c_out)
        values = np.zeros((len(KINDS), len(c_in), len(c_out)))
        for i, o in np.ndindex(values.shape[1:]):
            x = torch.rand(_input_shape(edge, c_in[i], space), device=device)
            values[:, i, o] = _measure(build(c_in[i], c_out[o]).to(device), (x,), device)
        values[1:] *= _uses(edge, choices.largest)
        for kind, own in zip(KINDS, values, strict=True):
            parts[kind].setdefault(edge.name, {})[name] = Surface(c_in, c_out, own)
    rest = {n: _rest(choices, n, parts, space, device) for n in _level_counts(choices)}
    return {kind: Costs(parts[kind], {n: found[k] for n, found in rest.items()}) for k, kind in enumerate(KINDS)}


Build = Callable[[int, int], nn.Module]


def _parts(choices: Choices) -> Iterator[tuple[Edge, str, Build]]:
    """Everything whose cost depends on what is chosen: where it is, its name, and how it is built."""
    dims = choices.largest.dims
    for edge in choices.edges:
        for name in choices.primitives:
            yield edge, name, partial(make_primitive, name, dims, stride=edge.stride)
    for head in heads_of(choices.largest):
        yield head, HEAD, partial(convolution, dims, kernel=HEAD_KERNEL)


def heads_of(architecture: Architecture) -> list[Edge]:
    """The convolutions that end deformation cells, as edges without a choice."""
    levels = range(1, architecture.levels + 1)
    return [Edge(f"{HEAD}.{level}.0", *head_channels(architecture, level)) for level in levels]


def _uses(edge: Edge, architecture: Architecture) -> int:
    """How often a part runs, and keeps what it needs for the way back, with the same weights."""
    kind, level, _ = edge.name.split(".", 2)
    return 1 if kind == "feature" else architecture.passes_of(int(level))


def _level_counts(choices: Choices) -> range:
    most = choices.largest.levels
    return range(choices.topology.min_levels or most, most + 1)


def _smallest(choices: Choices) -> list[Architecture]:
    """The narrowest networks with the fewest connections, of every number of levels."""
    least = {row.name: row.options[0] for row in choices.structure}
    return [with_structure(choices.largest, least | {"levels": str(n)}) for n in _level_counts(choices)]


def _rest(
    choices: Choices,
    levels: int,
    parts: Mapping[str, Mapping[str, Mapping[str, Surface]]],
    space: Sequence[int],
    device: torch.device,
) -> list[float]:
    """What a whole network costs beyond its parts, of every kind."""
    architecture = with_structure(choices.largest, {"levels": str(levels)})
    first = Genotype.uniform(architecture, choices.primitives[0])
    whole = _measure(first.build().to(device), tuple(torch.rand(1, 1, *space, device=device) for _ in range(2)), device)
    of_parts = [Costs(parts[kind], {levels: 0.0}).of(first) for kind in KINDS]
    return [max(a - b, 0.0) for a, b in zip(whole, of_parts, strict=True)]


def _nodes(low: int, high: int) -> tuple[int, ...]:
    return tuple(sorted({low, (low + high) // 2, high}))


def _lagrange(nodes: Sequence[int], x: Any) -> list[Any]:
    """Weights of the values at the nodes that give the interpolating polynomial at x."""
    return [math.prod([(x - b) / (a - b) for b in nodes if b != a]) for a in nodes]


def _input_shape(edge: Edge, c_in: int, space: Sequence[int]) -> tuple[int, ...]:
    kind, level, _ = edge.name.split(".", 2)
    steps = int(level) - (1 if edge.stride > 1 else 0)
    images = 2 if kind == "feature" else 1  # the feature cells see the fixed and the moving image
    return (images, c_in, *[-(-n // 2**steps) for n in space])


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

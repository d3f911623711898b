"""What a network costs on average while the choice is open, as a function of alpha."""

from itertools import pairwise
from typing import Any

from torch import Tensor

from autoreg.networks.choices import Choices
from autoreg.networks.costs import HEAD, Costs, heads_of
from autoreg.networks.mixed import Gate


def expected_cost(costs: Costs, choices: Choices, probabilities: Tensor) -> Tensor:
    """Cost of the average network for probabilities (rows, columns), a number that can be differentiated.

    Every edge has its primitives' mean cost at the mean numbers of its channels, as far as its level takes part. That
    is the exact mean where only primitives are open, and the exact cost of a decided network.
    """
    edges = len(choices.edges)
    masks = choices.gating.masks([Gate(row, ()) for row in probabilities[edges:]])
    levels = sorted(costs.rest)
    total = probabilities.new_tensor(costs.rest[levels[0]])
    for fewer, level in pairwise(levels):
        total = total + masks.on[level] * (costs.rest[level] - costs.rest[fewer])
    for edge, row in zip(choices.edges, probabilities, strict=False):
        c_in, c_out = _mean(masks.inner.get(edge.name), edge.c_in), _mean(masks.outputs.get(edge.name), edge.c_out)
        surfaces = [costs.parts[edge.name][primitive] for primitive in choices.primitives]
        mean = sum(p * surface.between(c_in, c_out) for p, surface in zip(row, surfaces, strict=False))
        total = total + masks.on.get(_level(edge.name), 1.0) * mean
    for head in heads_of(choices.largest):
        c_in = _mean(masks.decoded.get(_level(head.name)), head.c_in)
        cost = costs.parts[head.name][HEAD].between(c_in, head.c_out)
        total = total + masks.on.get(_level(head.name), 1.0) * cost
    return total


def _mean(factors: Tensor | None, channels: int) -> Any:
    return channels if factors is None else factors.sum()


def _level(edge: str) -> int:
    return int(edge.split(".")[1])

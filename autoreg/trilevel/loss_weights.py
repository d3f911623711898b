"""lambda without its scale and always positive.

Multiplying all loss weights by one factor moves no minimiser, so that direction carries no information:
the reference term keeps weight 1 and every other weight is exp(theta), held in its range. A weight that follows is
exp(theta) times the root of what the fastest of those that lead has grown by.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightRange:
    """One term's start and range; `reference` terms stay at 1."""

    name: str
    start: float
    low: float
    high: float
    reference: bool = False
    follows: bool = False
    """Grows with the others, beyond its own way."""


class LossWeights:
    """theta and the loss weights it stands for."""

    def __init__(self, ranges: Sequence[WeightRange]) -> None:
        if sum(r.reference for r in ranges) != 1:
            names = [r.name for r in ranges if r.reference]
            raise ValueError(f"loss weights: expected one reference term, got {names}")
        self.ranges = tuple(ranges)
        self.free = [i for i, r in enumerate(ranges) if not r.reference]
        self.theta = torch.tensor([math.log(ranges[i].start) for i in self.free], dtype=torch.float64)
        self._starts, self._highest = self.theta.clone(), [math.log(ranges[i].high) for i in self.free]
        self._follows = torch.tensor([ranges[i].follows for i in self.free], dtype=torch.bool)

    def values(self) -> Tensor:
        """lambda, shape (terms,), float64."""
        weights = torch.ones(len(self.ranges), dtype=torch.float64)
        if self.free:
            weights[self.free] = self._of(self.theta)
        return weights

    def pull_back(self, gradient: Tensor) -> Tensor:
        """d/d theta from d/d lambda, shape (free terms,): the chain rule."""
        theta = self.theta.clone().requires_grad_()
        return torch.autograd.grad(self._of(theta), theta, gradient.double()[self.free])[0]

    def _of(self, theta: Tensor) -> Tensor:
        leads = ~self._follows
        if not (self._follows.any() and leads.any()):
            return theta.exp()
        growth = (theta - self._starts)[leads].max().clamp(min=0)
        raised = (theta + growth / 2).minimum(torch.tensor(self._highest, dtype=theta.dtype))
        return torch.where(self._follows, raised, theta).exp()

    def clip(self) -> None:
        """Hold every weight in its range."""
        for position, index in enumerate(self.free):
            low, high = math.log(self.ranges[index].low), math.log(self.ranges[index].high)
            self.theta[position].clamp_(low, high)

    def named(self) -> dict[str, float]:
        """Term name -> weight."""
        return {r.name: float(v) for r, v in zip(self.ranges, self.values(), strict=True)}

"""An upper hypergradient through the last K steps of the weights, Adam's moments included.

Reverse mode by hand: from the newest step to the oldest, the adjoint of the state (weights and both moments) passes
Adam's formulas (`LowerStep.pull_back`), gives the step's mixed product, and takes on H a(g). Each step costs two
gradients (a central difference gives the mixed and the curvature product together) and the memory of four copies of
the weights. Valid for any K up to the number of recorded steps; K = 1 is the one-step estimator.
Reference: Franceschi et al., arXiv:1703.01785, algorithm 1 (for plain gradient descent).
"""

from dataclasses import replace

import torch
from torch import Tensor

from autoreg.errors import EstimatorError
from autoreg.trilevel.lower import Adjoint, Vector
from autoreg.trilevel.response import Level, Response


def unrolled(response: Response, upper_gradient: Vector, level: Level) -> Tensor:
    """This worker's share of the indirect part through `response.horizon` steps.

    Raises:
        EstimatorError: fewer steps were recorded.
    """
    if len(response.steps) < response.horizon:
        raise EstimatorError(f"unrolled: expected {response.horizon} recorded steps, got {len(response.steps)}")
    adjoint = Adjoint(upper_gradient)
    parts: list[Tensor] = []
    steps = list(response.steps)[-response.horizon :]
    for step in reversed(steps):
        of_gradient, adjoint = response.lower.pull_back(step, adjoint)
        earlier = step is not steps[0]
        found = response.products(of_gradient, step=step, level=level, curvature=earlier)
        parts.append(found.of(level))
        if found.weights is not None:
            moved = [a + h for a, h in zip(adjoint.weights, found.weights, strict=True)]
            adjoint = replace(adjoint, weights=moved)
    return torch.stack(parts).sum(0)

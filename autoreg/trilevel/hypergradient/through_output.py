"""The loss weights' hypergradient through one step of the weights, by one derivative of the network's output.

The same numbers as `dot_product`, at another price. The terms see the weights through the output y(w) alone, so

    < a, grad_w l_i(w) >  =  < dl_i/dy, dy/dw a >,    a = - eta P grad_w S(w')

with one directional derivative dy/dw a for all terms, by a central difference of two forward passes, and dl_i/dy
kept from the step itself: no backward pass of the network a term. Differences of the terms themselves would lose all
digits in single precision, as small differences of large sums; those of the output, voxel by voxel, do not.
Valid for one step, and for lambda only.
"""

import torch
from torch import Tensor

from autoreg.errors import EstimatorError
from autoreg.trilevel.finite_difference import derivative_along
from autoreg.trilevel.hypergradient.implicit import inner
from autoreg.trilevel.levels import held_at
from autoreg.trilevel.lower import Vector
from autoreg.trilevel.response import Level, Response


def through_output(response: Response, upper_gradient: Vector, level: Level) -> Tensor:
    """This worker's share of dF/dlambda through the last step, (terms,), float64.

    Raises:
        EstimatorError: for alpha, in which R is not linear.
    """
    if level != "loss_weights":
        raise EstimatorError("through_output: expected the loss weights, in which the objective is linear, got alpha")
    problem, step = response.problem, response.steps[-1]
    direction = response.one_step(upper_gradient)
    with held_at(problem.weights, step.before), torch.no_grad():
        moved = derivative_along(
            lambda: problem.train_output(response.alpha, step.batch).values, problem.weights, direction
        )
    dots = [inner(cotangent, moved) for cotangent in step.by_output]
    return torch.tensor(dots, dtype=torch.float64, device=response.loss_weights.device)

"""The loss weights' hypergradient through one step of the weights: exact and first order.

The lower objective is linear in lambda, so d(grad_w R)/d(lambda_i) is just grad_w l_i, and with
w' = w - eta A(grad_w R), A the optimiser's direction and P = dA/dgrad its response,

    dS(w')/dlambda_i = - eta < P grad_w S(w'), grad_w l_i(w) > .

No second derivative and no finite difference is needed. Valid for one step, and for lambda only.
"""

import torch
from torch import Tensor

from autoreg.errors import EstimatorError
from autoreg.trilevel.lower import Vector
from autoreg.trilevel.response import Level, Response


def dot_product(response: Response, upper_gradient: Vector, level: Level) -> Tensor:
    """This worker's share of dF/dlambda through the last step, (terms,), float64.

    Args:
        upper_gradient: grad_w F at the present weights, over all workers.

    Raises:
        EstimatorError: for alpha, in which R is not linear.
    """
    return _dots(response, response.one_step(upper_gradient), level)


def dot_product_plain(response: Response, upper_gradient: Vector, level: Level) -> Tensor:
    """The same with P = 1, as if the weights moved by plain gradient descent: exact only if they did."""
    rate, shares = response.steps[-1].learning_rate, response.lower.shares
    return _dots(response, [-rate * share * v for share, v in zip(shares, upper_gradient, strict=True)], level)


def _dots(response: Response, answer: Vector, level: Level) -> Tensor:
    if level != "loss_weights":
        raise EstimatorError("dot_product: expected the loss weights, in which the objective is linear, got alpha")
    dots = [
        torch.stack([(a.double() * g.double()).sum() for a, g in zip(answer, term, strict=True)]).sum()
        for term in response.steps[-1].by_term
    ]
    return torch.stack(dots)

"""dS/dlambda through one step of the weights, exact and first order.

The lower objective is linear in lambda, so d(grad_w R)/d(lambda_i) is just grad_w l_i, and with
w' = w - eta * A(grad_w R), A the optimiser's direction and P = dA/dgrad (diagonal),

    dS(w')/dlambda_i = - eta < P grad_w S(w'), grad_w l_i(w) > .

Valid for any lower objective linear in lambda and an optimiser whose response is diagonal (SGD: P = 1,
Adam: `LowerStep.preconditioner`). No second derivative and no finite difference is needed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def dot_product(
    upper_gradient: Sequence[Tensor],
    term_gradients: Sequence[Sequence[Tensor]],
    preconditioner: Sequence[Tensor],
    *,
    learning_rate: float,
) -> Tensor:
    """dS/dlambda, shape (terms,), float64.

    Args:
        upper_gradient: grad_w S at the weights after the step.
        term_gradients: for every term, grad_w l_i at the weights before it.
        preconditioner: P of that step, one tensor a weight.
        learning_rate: eta.
    """
    response = [p * v for p, v in zip(preconditioner, upper_gradient, strict=True)]
    dots = [
        torch.stack([(r.double() * g.double()).sum() for r, g in zip(response, gradient, strict=True)]).sum()
        for gradient in term_gradients
    ]
    return -learning_rate * torch.stack(dots)

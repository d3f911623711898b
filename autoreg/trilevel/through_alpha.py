"""The path lambda -> alpha -> S: the loss weights also move the architecture, and that moves the labels' objective.

The nested one-step problem, with G the hypergradient of alpha, L the length of its step and all of one round:

    w1(a, lambda) = step of w along R_train(., a, lambda)
    a1(lambda)    = a - L G / |G|,         G = d R_val(w1(a, lambda), a, lambda) / da
    w2(lambda)    = step of w along R_train(., a1, lambda)
    dS(w2, a1)/dlambda = S_w dw2/dlambda  +  ( S_a + S_w dw2/da1 ) da1/dlambda

The first part is the usual one. In the second, with s = S_a + S_w dw2/da1 and t = - L/|G| (s - G <G, s>/|G|^2), the
product t . dG/dlambda is the derivative along t in alpha of dR_val/dlambda = r_i + R_val,w dw1/dlambda_i, since mixed
derivatives commute: two lambda hypergradients of R_val, at alpha +- e t. The three levels are those of Fan et al.,
arXiv:2203.06810; the derivative is ours. Valid for one step of the weights and a relaxation that is smooth in alpha.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from autoreg.trilevel.hypergradient import Estimator
from autoreg.trilevel.levels import TriLevelProblem, gradients, vector_norm
from autoreg.trilevel.response import Response

ALPHA_MOVE = 1e-3
ALPHA_MOVE_DOUBLE = 1e-5

Retake = Callable[[Tensor], AbstractContextManager[Response]]
"""The last step of the weights taken again with another alpha; the weights are after it inside, and back afterwards."""


def both_paths(
    problem: TriLevelProblem,
    retake: Retake,
    alpha: Tensor,
    alpha_gradient: Tensor,
    alpha_step: float,
    *,
    of_loss_weights: Estimator,
    of_alpha: Estimator,
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """This worker's shares of dS/dlambda along lambda -> w -> S and along lambda -> alpha -> S, and the parts of S.

    Args:
        alpha_gradient: G, over all workers.
        alpha_step: L.
    """
    size = vector_norm([alpha_gradient])
    if not size > 0:  # alpha stays where it is, whatever lambda does
        slope, upper, direct = _at_moved_alpha(problem, retake, alpha, of_loss_weights, of_alpha)
        return direct, torch.zeros_like(direct), upper
    unit = alpha_gradient / size
    slope, upper, direct = _at_moved_alpha(problem, retake, alpha - alpha_step * unit, of_loss_weights, of_alpha)
    along = -alpha_step / size * (slope - (unit * slope).sum() * unit)
    return direct, _response_of_alpha(problem, retake, alpha, along.to(alpha), of_loss_weights), upper


def _at_moved_alpha(
    problem: TriLevelProblem, retake: Retake, alpha: Tensor, of_loss_weights: Estimator, of_alpha: Estimator
) -> tuple[Tensor, dict[str, float], Tensor]:
    """(dS/da1 over all workers, parts of S, share of the direct path) at w2, a1."""
    with retake(alpha) as response:
        variable = alpha.detach().requires_grad_()
        objective, upper = problem.loss_weights_objective(variable, response.steps[-1].batch)
        of_variable, *of_weights = gradients(objective, [variable, *problem.weights])
        response.reduce(of_weights)
        slope = of_variable + of_alpha(response, of_weights, "alpha")
        response.reduce([slope])
        return slope, upper, of_loss_weights(response, of_weights, "loss_weights")


def _response_of_alpha(
    problem: TriLevelProblem, retake: Retake, alpha: Tensor, direction: Tensor, of_loss_weights: Estimator
) -> Tensor:
    """direction . dG/dlambda, share, by a central difference in alpha."""
    length = float(vector_norm([direction]))
    move = ALPHA_MOVE_DOUBLE if alpha.dtype == torch.float64 else ALPHA_MOVE

    def slope_at(place_: Tensor) -> Tensor:
        with retake(place_) as response:
            terms = problem.architecture_terms(place_, response.steps[-1].batch)
            of_weights = gradients(terms @ response.loss_weights.to(terms), problem.weights)
            response.reduce(of_weights)
            return terms.detach().double() + of_loss_weights(response, of_weights, "loss_weights").double()

    if length == 0:
        return torch.zeros_like(slope_at(alpha))
    unit = direction / length
    return length * (slope_at(alpha + move * unit) - slope_at(alpha - move * unit)) / (2 * move)

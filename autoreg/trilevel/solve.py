"""The loop: K steps of the weights, then this worker's parts of both upper hypergradients.

The state of the upper levels (alpha, lambda, their optimisers) is not here: whoever calls `solve_round`
adds the parts of all workers and moves alpha and lambda.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from autoreg.errors import DivergedError
from autoreg.trilevel.hypergradient import dot_product, mixed_product
from autoreg.trilevel.levels import Reduce, TriLevelProblem, gradients
from autoreg.trilevel.lower import LowerStep

AlphaEstimator = Literal["darts_fd", "direct"]


@dataclass(frozen=True)
class Round:
    """What one round is to do. Steps are counted over the whole run, so a batch is a function of its step."""

    index: int
    first_step: int
    learning_rates: tuple[float, ...]
    """One a weight step; their number is K."""
    loss_weights: Tensor
    alpha: Tensor | None = None
    update_alpha: bool = False
    update_loss_weights: bool = False
    alpha_estimator: AlphaEstimator = "darts_fd"


@dataclass
class RoundParts:
    """A worker's share of a round's results; shares of all workers add up to the whole."""

    terms: Tensor
    """Mean over the steps of the lower terms, (terms,)."""
    alpha_direct: Tensor | None = None
    alpha_indirect: Tensor | None = None
    architecture_terms: Tensor | None = None
    loss_weights_gradient: Tensor | None = None
    upper: dict[str, float] = field(default_factory=dict[str, float])


def solve_round(problem: TriLevelProblem, lower: LowerStep, task: Round, reduce: Reduce) -> RoundParts:
    """Train the weights for K steps and differentiate both upper objectives through the last one.

    Raises:
        DivergedError: when a lower objective is not finite; the weights are then unusable and the caller
            goes back to its last state.
    """
    weights = problem.weights
    lambda_ = task.loss_weights
    observed = task.update_alpha or task.update_loss_weights
    steps = range(task.first_step, task.first_step + len(task.learning_rates))
    total = torch.zeros_like(lambda_)
    parts = RoundParts(total)
    for step, learning_rate in zip(steps, task.learning_rates, strict=True):
        terms = problem.train_terms(task.alpha, step)
        _check(terms, "weights", task.index, step)
        total += terms.detach().to(total)
        if observed and step == steps[-1]:
            _observed_step(problem, lower, task, terms, reduce, parts)
        else:
            gradient = gradients(terms @ lambda_.to(terms), weights)
            reduce(gradient)
            lower.apply(gradient, learning_rate)
    parts.terms = total / len(steps)
    return parts


def _observed_step(
    problem: TriLevelProblem, lower: LowerStep, task: Round, terms: Tensor, reduce: Reduce, parts: RoundParts
) -> None:
    """The last weight step of a round, kept in view: its term gradients and Adam's response are needed after."""
    weights, lambda_ = problem.weights, task.loss_weights
    step, learning_rate = task.first_step + len(task.learning_rates) - 1, task.learning_rates[-1]
    before = [w.detach().clone() for w in weights]
    own = [gradients(term, weights, retain=True) for term in terms]  # this shard's grad_w l_i
    factors = [float(factor) for factor in lambda_]
    gradient = [
        torch.stack([factor * g for factor, g in zip(factors, column, strict=True)]).sum(0)
        for column in zip(*own, strict=True)
    ]
    reduce(gradient)
    used = lower.apply(gradient, learning_rate)
    response = lower.preconditioner(used)

    if task.update_loss_weights:
        objective, parts.upper = problem.loss_weights_objective(task.alpha, step)
        _check(objective, "loss weights", task.index, step)
        upper_gradient = gradients(objective, weights)
        reduce(upper_gradient)
        parts.loss_weights_gradient = dot_product(upper_gradient, own, response, learning_rate=learning_rate)
    if task.update_alpha:
        _alpha_parts(problem, task, before, response, reduce, parts)


def _alpha_parts(
    problem: TriLevelProblem,
    task: Round,
    before: Sequence[Tensor],
    response: Sequence[Tensor],
    reduce: Reduce,
    parts: RoundParts,
) -> None:
    weights, lambda_ = problem.weights, task.loss_weights
    step, learning_rate = task.first_step + len(task.learning_rates) - 1, task.learning_rates[-1]
    assert task.alpha is not None
    alpha = task.alpha.detach().requires_grad_()
    terms = problem.architecture_terms(alpha, step)
    _check(terms, "architecture", task.index, step)
    direct, *weight_gradient = gradients(terms @ lambda_.to(terms), [alpha, *weights])
    parts.alpha_direct, parts.architecture_terms = direct, terms.detach()
    if task.alpha_estimator == "direct":
        parts.alpha_indirect = torch.zeros_like(direct)
        return
    reduce(weight_gradient)
    direction = [p * v for p, v in zip(response, weight_gradient, strict=True)]

    def train_alpha_gradient() -> Tensor:
        return gradients(problem.train_terms(alpha, step) @ lambda_.to(terms), [alpha])[0]

    after = [w.detach().clone() for w in weights]
    try:
        _copy(weights, before)
        parts.alpha_indirect = -learning_rate * mixed_product(train_alpha_gradient, weights, direction)
    finally:
        _copy(weights, after)


def _copy(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)


def _check(value: Tensor, level: str, round_index: int, step: int) -> None:
    if not torch.isfinite(value).all():
        raise DivergedError(level, round_index, step)

"""The loop: K steps of the weights, then this worker's parts of both upper hypergradients.

The state of the upper levels (alpha, lambda, their optimisers) is not here: whoever calls `solve_round`
adds the parts of all workers and moves alpha and lambda.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from autoreg.errors import DivergedError, NoMinimumError
from autoreg.trilevel.hypergradient import BY_OUTPUT, BY_TERM, DIRECT, ESTIMATORS
from autoreg.trilevel.levels import Reduce, TriLevelProblem, gradients, place
from autoreg.trilevel.lower import LowerStep, Step, Vector
from autoreg.trilevel.response import Response
from autoreg.trilevel.through_alpha import both_paths


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
    alpha_estimator: str = "darts_fd"
    loss_weights_estimator: str = "through_output"
    horizon: int = 1
    """Steps that `unrolled` goes back, or the most products of an implicit estimator."""
    alpha_step: float | None = None
    """Length of alpha's step, for the path lambda -> alpha -> S; None leaves that path out."""

    @property
    def recorded(self) -> int:
        """How many of the last steps must be kept in view."""
        if not (self.update_alpha or self.update_loss_weights):
            return 0
        return self.horizon if "unrolled" in (self.alpha_estimator, self.loss_weights_estimator) else 1

    @property
    def last_step(self) -> int:
        return self.first_step + len(self.learning_rates) - 1


@dataclass
class RoundParts:
    """A worker's share of a round's results; shares of all workers add up to the whole."""

    terms: Tensor
    """Mean over the steps of the lower terms, (terms,)."""
    alpha_direct: Tensor | None = None
    alpha_indirect: Tensor | None = None
    architecture_terms: Tensor | None = None
    loss_weights_gradient: Tensor | None = None
    loss_weights_through_alpha: Tensor | None = None
    upper: dict[str, float] = field(default_factory=dict[str, float])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    """Level -> why an implicit estimator refused; that level's gradient is None and the level rests."""


def solve_round(problem: TriLevelProblem, lower: LowerStep, task: Round, reduce: Reduce) -> RoundParts:
    """Train the weights for K steps and differentiate both upper objectives through the last of them.

    Raises:
        DivergedError: when a lower objective is not finite; the weights are then unusable and the caller
            goes back to its last state.
        EstimatorError: an estimator is not valid here.
    """
    total = torch.zeros_like(task.loss_weights)
    kept: list[Step] = []
    before_last: dict[str, Any] = {}
    for step, learning_rate in enumerate(task.learning_rates, start=task.first_step):
        if step > task.last_step - task.recorded:
            if step == task.last_step and task.alpha_step is not None:
                before_last = lower.state()
            terms, recorded = _recorded_step(problem, lower, task, step, learning_rate, reduce)
            kept.append(recorded)
        else:
            terms = problem.step_terms(task.alpha, step)
            _check(terms, "weights", task.index, step)
            gradient = gradients(terms @ task.loss_weights.to(terms), problem.weights)
            reduce(gradient)
            lower.apply(gradient, learning_rate)
        total += terms.detach().to(total)
    parts = RoundParts(total / len(task.learning_rates))
    if kept:
        response = Response(problem, lower, task.loss_weights, task.alpha, kept, reduce, task.horizon)
        _upper_parts(response, task, parts, before_last)
    return parts


def _recorded_step(
    problem: TriLevelProblem, lower: LowerStep, task: Round, step: int, learning_rate: float, reduce: Reduce
) -> tuple[Tensor, Step]:
    """A step kept in view, and its terms; the last one with what the loss weights' estimator wants of each term."""
    wanted = task.loss_weights_estimator if step == task.last_step and task.update_loss_weights else ""
    lambda_ = task.loss_weights
    by_term: list[Vector] = []
    by_output: list[Vector] = []
    if wanted in BY_OUTPUT:
        output = problem.train_output(task.alpha, step)
        seen = [value.detach().requires_grad_() for value in output.values]
        terms = output.terms(seen)
        _check(terms, "weights", task.index, step)
        by_output = [gradients(term, seen, retain=True) for term in terms]
        gradient = gradients(output.values, problem.weights, along=_weighted(by_output, lambda_))
    else:
        terms = problem.train_terms(task.alpha, step)
        _check(terms, "weights", task.index, step)
        if wanted in BY_TERM:
            by_term = [gradients(term, problem.weights, retain=True) for term in terms]
            gradient = _weighted(by_term, lambda_)
        else:
            gradient = gradients(terms @ lambda_.to(terms), problem.weights)
    reduce(gradient)
    recorded = lower.record(gradient, learning_rate, batch=step, by_term=by_term, by_output=by_output)
    return terms.detach(), recorded


def _weighted(by_term: list[Vector], loss_weights: Tensor) -> Vector:
    """sum_i lambda_i v_i."""
    factors = [float(factor) for factor in loss_weights]
    return [
        torch.stack([factor * v for factor, v in zip(factors, column, strict=True)]).sum(0)
        for column in zip(*by_term, strict=True)
    ]


def _upper_parts(response: Response, task: Round, parts: RoundParts, before_last: dict[str, Any]) -> None:
    if task.update_alpha:
        _alpha_parts(response, task, parts)
    if task.update_loss_weights and task.update_alpha and task.alpha_step is not None:
        _both_paths(response, task, parts, before_last)
    elif task.update_loss_weights:
        objective, parts.upper = response.problem.loss_weights_objective(task.alpha, task.last_step)
        _check(objective, "loss weights", task.index, task.last_step)
        upper_gradient = gradients(objective, response.problem.weights)
        response.reduce(upper_gradient)
        estimate = ESTIMATORS[task.loss_weights_estimator]
        try:
            parts.loss_weights_gradient = estimate(response, upper_gradient, "loss_weights")
        except NoMinimumError as error:  # all workers see the same residual, so all refuse
            parts.refused["loss_weights"] = str(error)


def _alpha_parts(response: Response, task: Round, parts: RoundParts) -> None:
    assert task.alpha is not None
    problem = response.problem
    alpha = task.alpha.detach().requires_grad_()
    terms = problem.architecture_terms(alpha, task.last_step)
    _check(terms, "architecture", task.index, task.last_step)
    direct, *weight_gradient = gradients(terms @ task.loss_weights.to(terms), [alpha, *problem.weights])
    parts.alpha_direct, parts.architecture_terms = direct, terms.detach()
    if task.alpha_estimator == DIRECT:
        parts.alpha_indirect = torch.zeros_like(direct)
        return
    response.reduce(weight_gradient)
    try:
        parts.alpha_indirect = ESTIMATORS[task.alpha_estimator](response, weight_gradient, "alpha")
    except NoMinimumError as error:
        parts.refused["alpha"] = str(error)


def _both_paths(response: Response, task: Round, parts: RoundParts, before_last: dict[str, Any]) -> None:
    assert task.alpha is not None and task.alpha_step is not None
    assert parts.alpha_direct is not None and parts.alpha_indirect is not None
    alpha_gradient = parts.alpha_direct + parts.alpha_indirect
    response.reduce([alpha_gradient])
    problem, lower, last = response.problem, response.lower, response.steps[-1]

    @contextmanager
    def retake(alpha: Tensor) -> Generator[Response, None, None]:
        with lower.undone():
            place(problem.weights, last.before)
            lower.load(before_last)
            changed = replace(task, alpha=alpha.detach())
            _, step = _recorded_step(problem, lower, changed, last.batch, last.learning_rate, response.reduce)
            yield replace(response, alpha=changed.alpha, steps=[step])

    parts.loss_weights_gradient, parts.loss_weights_through_alpha, parts.upper = both_paths(
        problem,
        retake,
        task.alpha,
        alpha_gradient,
        task.alpha_step,
        of_loss_weights=ESTIMATORS[task.loss_weights_estimator],
        of_alpha=ESTIMATORS[task.alpha_estimator],
    )


def _check(value: Tensor, level: str, round_index: int, step: int) -> None:
    if not torch.isfinite(value).all():
        raise DivergedError(level, round_index, step)

"""How the lower level answers: the steps it took, and products with the second derivatives of its objective."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from autoreg.errors import EstimatorError
from autoreg.trilevel.finite_difference import derivative_along
from autoreg.trilevel.levels import Reduce, TriLevelProblem, gradients, held_at
from autoreg.trilevel.lower import Adjoint, LowerStep, Step, Vector

MOVE = 0.3
"""Length of a difference of gradients, in lengths of the weights' own step. A registration objective is smooth only
piece by piece (leaky units, trilinear sampling, masks), so its gradient jumps, and a shorter difference measures the
jumps. Against what a step of alpha really does to R_val (benchmarks/alpha_gradient.py, docs/decisions.md): off by 7
percent at 0.3, by 70 percent at 0.003, and by 23 percent with torch's pointwise second derivative."""

Level = Literal["loss_weights", "alpha"]
"""Whose hypergradient."""


@dataclass(frozen=True)
class Products:
    """A direction q of the weights times the second derivatives of R_train; what was not asked for is None."""

    weights: Vector | None
    """H q, over all workers."""
    loss_weights: Tensor | None
    """< grad_w l_i, q >, (terms,), this worker's share."""
    alpha: Tensor | None
    """d < grad_w R, q > / d alpha, this worker's share."""

    def of(self, level: Level) -> Tensor:
        """The part of an upper level."""
        found = self.loss_weights if level == "loss_weights" else self.alpha
        assert found is not None
        return found


@dataclass(frozen=True)
class Response:
    """What an estimator may use: the problem, the last recorded steps of the weights, oldest first, and the settings.

    The weights are those after the last step.
    """

    problem: TriLevelProblem
    lower: LowerStep
    loss_weights: Tensor
    alpha: Tensor | None
    steps: Sequence[Step]
    reduce: Reduce
    horizon: int = 1
    """Steps unrolled, or the most products of an implicit estimator."""
    tolerance: float = 0.05
    """Relative residual above which an implicit estimator refuses."""

    def one_step(self, upper_gradient: Vector) -> Vector:
        """- eta P grad_w F: how grad_w R before the last step moves F after it."""
        return self.lower.pull_back(self.steps[-1], Adjoint(upper_gradient))[0]

    def products(
        self, direction: Vector, *, step: Step | None, level: Level | None, curvature: bool, exact: bool = False
    ) -> Products:
        """Products with `direction` before a recorded step, or (None) at the present weights with the last batch.

        Args:
            level: the upper level whose mixed product is wanted, if any.
            curvature: whether H q is wanted.
            exact: by torch's second derivative instead of a central difference.

        Raises:
            EstimatorError: this torch has no second derivative of an operation of the network.
        """
        batch = (step or self.steps[-1]).batch
        with held_at(self.problem.weights, step.before) if step else nullcontext():
            if exact:
                found = self._exact(direction, batch, level, curvature)
            else:
                found = self._by_difference(direction, step, batch, level, curvature)
        if found.weights is not None:
            self.reduce(found.weights)
        return found

    def _by_difference(
        self, direction: Vector, step: Step | None, batch: int, level: Level | None, curvature: bool
    ) -> Products:
        alpha = None if self.alpha is None else self.alpha.detach().requires_grad_(level == "alpha")
        inputs = ([alpha] if alpha is not None and level == "alpha" else []) + (
            list(self.problem.weights) if curvature else []
        )

        def first_derivatives() -> list[Tensor]:
            with torch.set_grad_enabled(bool(inputs)):
                terms = self.problem.train_terms(alpha, batch)
            found = gradients(terms @ self.loss_weights.to(terms), inputs) if inputs else []
            return [terms.detach(), *found]

        move = MOVE * (step or self.steps[-1]).length
        terms, *rest = derivative_along(first_derivatives, self.problem.weights, direction, at_least=move)
        of_alpha = rest.pop(0) if level == "alpha" else None
        return Products(rest if curvature else None, terms if level == "loss_weights" else None, of_alpha)

    def _exact(self, direction: Vector, batch: int, level: Level | None, curvature: bool) -> Products:
        weights = list(self.problem.weights)
        lambda_ = self.loss_weights.detach().requires_grad_(level == "loss_weights")
        alpha = None if self.alpha is None else self.alpha.detach().requires_grad_(level == "alpha")
        upper = {"loss_weights": lambda_, "alpha": alpha, None: None}[level]
        inputs = ([] if upper is None else [upper]) + (weights if curvature else [])
        terms = self.problem.train_terms(alpha, batch)
        try:
            slope = gradients(terms @ lambda_.to(terms), weights, create=True)
            found = gradients(torch.stack([(g * q).sum() for g, q in zip(slope, direction, strict=True)]).sum(), inputs)
        except RuntimeError as error:
            if "not implemented" not in str(error):  # torch has no type of its own for this
                raise
            raise EstimatorError(
                f"second_derivative: torch {torch.__version__} has no second derivative of an operation of this "
                f"network ({error}); use darts_fd"
            ) from error
        of_upper = found.pop(0) if level else None
        return Products(
            found if curvature else None,
            of_upper if level == "loss_weights" else None,
            of_upper if level == "alpha" else None,
        )

"""The same two- and three-level problems by another library: TorchOpt's differentiable Adam and implicit root."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from problems import QuadraticBilevel, QuadraticProblem, ToyTriLevel, normal
from torch import Tensor

from autoreg.trilevel import LowerStep, Round, no_reduce, solve_round
from autoreg.trilevel.hypergradient import ESTIMATORS
from autoreg.trilevel.response import Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchopt
    from torchopt.diff.implicit import custom_root
    from torchopt.linear_solve import solve_cg

LAMBDA = torch.tensor([1.0, 0.4, 2.5], dtype=torch.float64)
ALPHA = normal(2, 2, seed=3)
WARM_UP = (0.05, 0.02, 0.04)
"""First steps with fixed alpha and lambda: Adam's very first step hardly answers to anything."""
RATES = (0.05, 0.03, 0.04, 0.05)
FIRST, LAST = len(WARM_UP), len(WARM_UP) + len(RATES) - 1
ALPHA_STEP = 0.15


@pytest.fixture(autouse=True)
def _in_double() -> Iterator[None]:
    """TorchOpt computes Adam's bias correction in the default precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Theirs:
    """The toy trained by TorchOpt, every step part of the graph."""

    def __init__(self) -> None:
        self.toy = ToyTriLevel()
        self.state = torchopt.adam(lr=1.0).init(tuple(self.toy.weights))
        self.train(WARM_UP, 0, ALPHA, LAMBDA)

    def train(self, rates: Sequence[float], first: int, alpha: Tensor, lambda_: Tensor) -> None:
        for step, rate in enumerate(rates, start=first):
            weights = tuple(self.toy._weights)
            gradient = torch.autograd.grad(self.toy.train_terms(alpha, step) @ lambda_, weights, create_graph=True)
            updates, self.state = torchopt.adam(lr=rate).update(gradient, self.state, inplace=False)
            self.toy._weights = list(torchopt.apply_updates(weights, updates, inplace=False))


def ours(task: Round) -> Any:
    problem = ToyTriLevel()
    lower = LowerStep(problem.weights, betas=(0.9, 0.999), clip=1e9)
    solve_round(problem, lower, Round(0, 0, WARM_UP, LAMBDA, ALPHA), no_reduce)
    parts = solve_round(problem, lower, task, no_reduce)
    return parts.loss_weights_gradient, parts.alpha_direct + parts.alpha_indirect, parts.loss_weights_through_alpha


def test_unrolled_adam() -> None:
    task = Round(1, FIRST, RATES, LAMBDA, ALPHA, True, True, "unrolled", "unrolled", horizon=len(RATES))
    of_lambda, of_alpha, _ = ours(task)
    theirs, lambda_, alpha = Theirs(), LAMBDA.clone().requires_grad_(), ALPHA.clone().requires_grad_()
    theirs.train(RATES, FIRST, alpha, lambda_)
    labels = theirs.toy.loss_weights_objective(ALPHA, LAST)[0]
    (expected,) = torch.autograd.grad(labels, lambda_, retain_graph=True)
    torch.testing.assert_close(of_lambda, expected, rtol=1e-6, atol=1e-9)
    value = theirs.toy.architecture_terms(alpha, LAST) @ LAMBDA
    torch.testing.assert_close(of_alpha, torch.autograd.grad(value, alpha)[0], rtol=1e-6, atol=1e-9)


def test_both_paths_of_three_levels() -> None:
    task = Round(1, FIRST, RATES[:1], LAMBDA, ALPHA, True, True, "darts_fd", "dot_product", alpha_step=ALPHA_STEP)
    direct, _, through_alpha = ours(task)
    lambda_, alpha = LAMBDA.clone().requires_grad_(), ALPHA.clone().requires_grad_()
    first, second = Theirs(), Theirs()
    first.train(RATES[:1], FIRST, alpha, lambda_)
    (gradient,) = torch.autograd.grad(first.toy.architecture_terms(alpha, FIRST) @ lambda_, alpha, create_graph=True)
    moved = alpha - ALPHA_STEP * gradient / gradient.norm()
    second.train(RATES[:1], FIRST, moved, lambda_)
    (expected,) = torch.autograd.grad(second.toy.loss_weights_objective(moved, FIRST)[0], lambda_)
    assert through_alpha.norm() > 0.01 * expected.norm()
    assert (direct + through_alpha - expected).norm() < 1e-6 * expected.norm()


@pytest.mark.parametrize("name", ["neumann", "conjugate_gradient"])
@pytest.mark.filterwarnings("ignore:.*functorch:FutureWarning")
def test_implicit_root(name: str) -> None:
    toy, lambda_ = QuadraticBilevel.random(), LAMBDA.clone().requires_grad_()

    def objective(w: Tensor, weights: Tensor) -> Tensor:
        return weights @ (0.5 * toy.curvature * (w - toy.centre) ** 2).sum(1)

    solver = solve_cg(rtol=1e-12, atol=1e-12)

    @custom_root(torch.func.grad(objective), argnums=1, solve=solver)
    def solve(_: Tensor, weights: Tensor) -> Tensor:
        return toy.solution(weights).detach()

    (expected,) = torch.autograd.grad(toy.upper(solve(torch.zeros(5, dtype=torch.float64), lambda_)), lambda_)
    problem = QuadraticProblem(toy, toy.solution(LAMBDA))
    lower = LowerStep(problem.weights, betas=(0.9, 0.999), clip=1e9)
    step = lower.record([torch.zeros_like(w) for w in problem.weights], 0.0, batch=0)
    response = Response(problem, lower, LAMBDA, None, [step], no_reduce, horizon=2000, tolerance=1e-10)
    v = toy.solution(LAMBDA) - toy.target
    found = ESTIMATORS[name](response, [v[:2], v[2:]], "loss_weights")
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)

"""Every estimator against closed forms in double precision: exact where it says so, refusing where it is not valid."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from problems import QuadraticBilevel, QuadraticProblem, ToyTriLevel, normal
from torch import Tensor

from autoreg.errors import EstimatorError
from autoreg.trilevel import LowerStep, no_reduce
from autoreg.trilevel.hypergradient import ALPHA_ESTIMATORS, BY_OUTPUT, BY_TERM, ESTIMATORS
from autoreg.trilevel.response import Response

LAMBDA = torch.tensor([1.0, 0.4, 2.5], dtype=torch.float64)
IMPLICIT = ("neumann", "conjugate_gradient")


def response_at(problem: Any, *, rate: float = 1e-9, alpha: Tensor | None = None, **settings: Any) -> Response:
    """After one step, by default so short that the weights stay where they were put."""
    lower = LowerStep(problem.weights, betas=(0.9, 0.999), clip=1e9)
    terms = problem.train_terms(alpha, 0)
    by_term = [list(torch.autograd.grad(t, problem.weights, retain_graph=True)) for t in terms]
    gradient = list(torch.autograd.grad(terms @ LAMBDA, problem.weights))
    output = problem.train_output(alpha, 0)
    seen = [v.detach().requires_grad_() for v in output.values]
    by_output = [list(torch.autograd.grad(t, seen, retain_graph=True)) for t in output.terms(seen)]
    step = lower.record(gradient, rate, batch=0, by_term=by_term, by_output=by_output)
    return Response(problem, lower, LAMBDA, alpha, [step], no_reduce, **settings)


def hypergradient(name: str, toy: QuadraticBilevel, w: Tensor, **settings: Any) -> Tensor:
    response = response_at(QuadraticProblem(toy, w), **settings)
    objective, _ = response.problem.loss_weights_objective(None, 0)
    upper_gradient = list(torch.autograd.grad(objective, response.problem.weights))
    return ESTIMATORS[name](response, upper_gradient, "loss_weights")


@pytest.mark.parametrize("name", IMPLICIT)
def test_implicit_estimators_are_exact_at_the_lower_optimum(name: str) -> None:
    toy = QuadraticBilevel.random()
    found = hypergradient(name, toy, toy.solution(LAMBDA), horizon=2000, tolerance=1e-10)
    expected = toy.hypergradient(LAMBDA)
    assert (found - expected).norm() < 1e-6 * expected.norm()
    assert float(LAMBDA @ found) == pytest.approx(0, abs=1e-6 * float(expected.norm()))  # lambda has no scale


def test_one_step_away_from_the_optimum_the_scale_of_lambda_has_a_slope() -> None:
    toy = QuadraticBilevel.random()
    found = hypergradient("dot_product_plain", toy, normal(5, seed=7), rate=0.1)
    assert abs(float(LAMBDA @ found)) > 0.01


def test_plain_dot_product_of_a_plain_gradient_step() -> None:
    toy, w, eta = QuadraticBilevel.random(), normal(5, seed=7), 0.1

    def upper_after_step(lambda_: Tensor) -> Tensor:
        return toy.upper(w - eta * lambda_ @ toy.term_gradients(w))

    after = w - eta * LAMBDA @ toy.term_gradients(w)
    response = response_at(QuadraticProblem(toy, w), rate=eta)
    v = after - toy.target
    found = ESTIMATORS["dot_product_plain"](response, [v[:2], v[2:]], "loss_weights")
    torch.testing.assert_close(found, torch.autograd.functional.jacobian(upper_after_step, LAMBDA))


def test_plain_dot_product_where_weights_take_parts_of_the_learning_rate() -> None:
    toy, w, eta = QuadraticBilevel.random(), normal(5, seed=7), 0.1
    rates = eta * torch.tensor([0.25, 0.25, 1, 1, 1]).double()  # of the first weight, as if it were a wide kernel

    def after_step(lambda_: Tensor) -> Tensor:
        return w - rates * (lambda_ @ toy.term_gradients(w))

    response = response_at(QuadraticProblem(toy, w), rate=eta)
    response.lower.shares = [0.25, 1.0]
    v = after_step(LAMBDA) - toy.target
    found = ESTIMATORS["dot_product_plain"](response, [v[:2], v[2:]], "loss_weights")
    expected = torch.autograd.functional.jacobian(lambda weights: toy.upper(after_step(weights)), LAMBDA)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", IMPLICIT)
def test_a_looser_tolerance_keeps_its_bound(name: str) -> None:
    """The error in H^-1 v is at most residual / smallest curvature; the terms' gradients multiply it."""
    toy = QuadraticBilevel.random()
    w = toy.solution(LAMBDA)
    found = hypergradient(name, toy, w, horizon=50, tolerance=0.05)
    expected = toy.hypergradient(LAMBDA)
    factor = toy.term_gradients(w).norm() / toy.hessian(LAMBDA).min()
    assert (found - expected).norm() <= 0.05 * (w - toy.target).norm() * factor
    assert (found - expected).norm() > 1e-6 * expected.norm()  # it stopped early, as it was told


@pytest.mark.parametrize("name", IMPLICIT)
def test_implicit_estimators_refuse_what_they_cannot_solve(name: str) -> None:
    toy = QuadraticBilevel.random()
    with pytest.raises(EstimatorError, match="residual of at most 1e-08 after 2"):
        hypergradient(name, toy, toy.solution(LAMBDA), horizon=2, tolerance=1e-8)
    saddle = replace(toy, curvature=toy.curvature * torch.tensor([1.0, -1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(EstimatorError, match="lower minimum"):
        hypergradient(name, saddle, normal(5, seed=3), horizon=2000, tolerance=1e-8)


@pytest.mark.parametrize("name", BY_TERM + BY_OUTPUT)
def test_dot_products_refuse_alpha(name: str) -> None:
    assert name not in ALPHA_ESTIMATORS
    response = response_at(QuadraticProblem(QuadraticBilevel.random(), normal(5, seed=1)))
    with pytest.raises(EstimatorError, match="expected the loss weights"):
        ESTIMATORS[name](response, list(response.problem.weights), "alpha")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_zero_upper_gradient_gives_exact_zeros(name: str) -> None:
    toy = QuadraticBilevel.random()
    response = response_at(QuadraticProblem(toy, normal(5, seed=1)), horizon=1)
    zeros = [torch.zeros_like(w) for w in response.problem.weights]
    assert ESTIMATORS[name](response, zeros, "loss_weights").tolist() == [0.0, 0.0, 0.0]


def test_second_derivative_refuses_where_torch_has_none() -> None:
    class Rough(ToyTriLevel):
        def train_terms(self, alpha: Tensor | None, step: int) -> Tensor:
            far = super().train_terms(alpha, step)[:, None] + 10
            return torch.cdist(far, torch.zeros(1, 1).double(), p=3.0)[:, 0]

    problem = Rough()
    response = response_at(problem, alpha=normal(2, 2, seed=3))
    with pytest.raises(EstimatorError, match=r"has no second derivative .* use darts_fd"):
        ESTIMATORS["second_derivative"](response, [torch.ones_like(w) for w in problem.weights], "alpha")


@pytest.mark.parametrize("calls_before_failure", [0, 1, 2])
@pytest.mark.parametrize("name", ["darts_fd", "unrolled", "neumann", "conjugate_gradient"])
def test_weights_are_bit_identical_afterwards(name: str, calls_before_failure: int) -> None:
    class Failing(ToyTriLevel):
        calls_left = 10**6

        def train_terms(self, alpha: Tensor | None, step: int) -> Tensor:
            if not self.calls_left:
                raise RuntimeError("out of memory")
            self.calls_left -= 1
            return super().train_terms(alpha, step)

    problem = Failing()
    response = response_at(problem, rate=0.01, alpha=normal(2, 2, seed=3), horizon=1 if name == "unrolled" else 50)
    before = [w.detach().clone() for w in problem.weights]
    direction = [normal(*w.shape, seed=4) for w in problem.weights]
    problem.calls_left = calls_before_failure
    if calls_before_failure < 2:
        with pytest.raises(RuntimeError, match="out of memory"):
            ESTIMATORS[name](response, direction, "alpha")
    else:
        problem.calls_left = 10**6
        ESTIMATORS[name](response, direction, "alpha")
    assert all(map(torch.equal, problem.weights, before))

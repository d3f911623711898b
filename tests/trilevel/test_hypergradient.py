"""Both estimators against closed forms and numerical derivatives, in double precision."""

import pytest
import torch
from problems import QuadraticBilevel, ToyTriLevel, normal
from torch import Tensor

from autoreg.trilevel.hypergradient import dot_product, mixed_product

LAMBDA = torch.tensor([1.0, 0.4, 2.5], dtype=torch.float64)


def implicit(toy: QuadraticBilevel, lambda_: Tensor) -> Tensor:
    """At the lower optimum, a step preconditioned by the inverse Hessian gives the implicit hypergradient."""
    w = toy.solution(lambda_)
    terms = [[g] for g in toy.term_gradients(w)]
    return dot_product([w - toy.target], terms, [1 / toy.hessian(lambda_)], learning_rate=1.0)


def test_dot_product_at_the_optimum_is_the_exact_hypergradient() -> None:
    toy = QuadraticBilevel.random()
    lambda_ = LAMBDA.clone().requires_grad_()
    (through_solution,) = torch.autograd.grad(toy.upper(toy.solution(lambda_)), lambda_)
    torch.testing.assert_close(implicit(toy, LAMBDA), toy.hypergradient(LAMBDA))
    torch.testing.assert_close(implicit(toy, LAMBDA), through_solution)


def test_at_the_optimum_the_scale_of_lambda_has_no_derivative() -> None:
    """A statement about this toy's exact solution; one step away from it, the scale does matter."""
    toy = QuadraticBilevel.random()
    assert float(LAMBDA @ implicit(toy, LAMBDA)) == pytest.approx(0, abs=1e-14)
    w = normal(5, seed=7)
    terms = [[g] for g in toy.term_gradients(w)]
    one_step = dot_product([w - toy.target], terms, [torch.ones_like(w)], learning_rate=0.1)
    assert abs(float(LAMBDA @ one_step)) > 0.01


def test_dot_product_of_a_plain_gradient_step() -> None:
    toy, w, eta = QuadraticBilevel.random(), normal(5, seed=7), 0.1

    def upper_after_step(lambda_: Tensor) -> Tensor:
        return toy.upper(w - eta * lambda_ @ toy.term_gradients(w))

    after = w - eta * LAMBDA @ toy.term_gradients(w)
    terms = [[g[:2], g[2:]] for g in toy.term_gradients(w)]
    v = after - toy.target
    found = dot_product([v[:2], v[2:]], terms, [torch.ones(2), torch.ones(3)], learning_rate=eta)
    expected = torch.autograd.functional.jacobian(upper_after_step, LAMBDA)
    torch.testing.assert_close(found, expected)


def test_mixed_product_of_a_cubic_problem_is_exact() -> None:
    problem = ToyTriLevel()
    alpha = normal(2, 2, seed=1).requires_grad_()
    direction = [normal(*w.shape, seed=2) for w in problem.weights]

    def gradient(*, create_graph: bool = False) -> Tensor:
        return torch.autograd.grad(problem.train_terms(alpha, 0) @ LAMBDA, alpha, create_graph=create_graph)[0]

    found = mixed_product(gradient, problem.weights, direction)
    rows = [torch.autograd.grad(g, problem.weights, retain_graph=True) for g in gradient(create_graph=True).flatten()]
    exact = [sum((h * d).sum() for h, d in zip(row, direction, strict=True)) for row in rows]
    torch.testing.assert_close(found.flatten(), torch.stack(exact), rtol=1e-9, atol=0)


def test_a_zero_direction_gives_exact_zeros() -> None:
    weights = [torch.ones(3)]
    assert mixed_product(lambda: weights[0][:2] * 7, weights, [torch.zeros(3)]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("calls_before_failure", [0, 1, 2])
def test_weights_are_bit_identical_afterwards(calls_before_failure: int) -> None:
    weights = [torch.rand(50), torch.rand(5, 5)]
    before = [w.clone() for w in weights]
    seen: list[Tensor] = []

    def gradient() -> Tensor:
        if len(seen) == calls_before_failure:
            raise RuntimeError("out of memory")
        seen.append(weights[0].clone())
        return weights[0][:3]

    direction = [torch.rand(50), torch.rand(5, 5)]
    if calls_before_failure < 2:
        with pytest.raises(RuntimeError, match="out of memory"):
            mixed_product(gradient, weights, direction)
    else:
        mixed_product(gradient, weights, direction)
    assert all(not torch.equal(moved, before[0]) for moved in seen)
    assert all(torch.equal(a, b) for a, b in zip(weights, before, strict=True))

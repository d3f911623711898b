"""One round on a toy in closed form: both hypergradients against numerical derivatives, shards, divergence."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from problems import ToyTriLevel, normal
from torch import Tensor

from autoreg.errors import DivergedError, EstimatorError
from autoreg.trilevel import LowerStep, Reduce, Round, RoundParts, no_reduce, solve_round

LAMBDA = torch.tensor([1.0, 0.4, 2.5], dtype=torch.float64)
ALPHA = normal(2, 2, seed=3)
HISTORY = Round(0, 0, (0.05, 0.03, 0.04, 0.05, 0.02), LAMBDA, ALPHA)
OBSERVED = Round(1, 5, (0.05,), LAMBDA, ALPHA, True, True, alpha_estimator="darts_fd")
Problem = Callable[..., ToyTriLevel]


def after(task: Round, *, problem: ToyTriLevel | None = None, reduce: Reduce = no_reduce, clip: float = 1e9) -> Any:
    """(problem, parts, LowerStep) after a history of five Adam steps and the task, always from the same start."""
    problem = problem or ToyTriLevel()
    lower = LowerStep(problem.weights, betas=(0.9, 0.999), clip=clip)
    solve_round(problem, lower, HISTORY, reduce)
    return problem, solve_round(problem, lower, task, reduce), lower


def plain(task: Round, **changes: Any) -> Round:
    return replace(task, update_alpha=False, update_loss_weights=False, **changes)


def numerical(value_of: Callable[[Tensor], float], at: Tensor, *, h: float = 1e-5) -> Tensor:
    """Central differences in every entry."""
    units = torch.eye(at.numel(), dtype=at.dtype).view(-1, *at.shape)
    slopes = [(value_of(at + h * u) - value_of(at - h * u)) / (2 * h) for u in units]
    return torch.tensor(slopes, dtype=at.dtype).view(at.shape)


@pytest.mark.parametrize("estimator", ["dot_product", "through_output"])
def test_loss_weights_gradient_is_the_derivative_through_the_step(estimator: str) -> None:
    def upper(lambda_: Tensor) -> float:
        problem, _, _ = after(plain(OBSERVED, loss_weights=lambda_))
        return float(problem.loss_weights_objective(ALPHA, 5)[0].detach())

    found = after(replace(OBSERVED, loss_weights_estimator=estimator))[1].loss_weights_gradient
    torch.testing.assert_close(found, numerical(upper, LAMBDA), rtol=1e-6, atol=0)


def test_alpha_gradient_is_the_derivative_through_the_step() -> None:
    def upper(alpha: Tensor) -> float:
        problem, _, _ = after(plain(OBSERVED, alpha=alpha))
        return float(problem.architecture_terms(alpha, 5).detach() @ LAMBDA)

    parts = after(OBSERVED)[1]
    torch.testing.assert_close(parts.alpha_direct + parts.alpha_indirect, numerical(upper, ALPHA), rtol=1e-6, atol=0)
    assert (parts.alpha_indirect.abs() > 1e-3).all()  # the indirect part is no detail here


def test_the_direct_estimator_leaves_the_indirect_part_out() -> None:
    both, direct = after(OBSERVED)[1], after(replace(OBSERVED, alpha_estimator="direct"))[1]
    assert torch.equal(direct.alpha_direct, both.alpha_direct)
    assert direct.alpha_indirect.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("clip", [1e9, 0.8])
@pytest.mark.parametrize("estimator", ["second_derivative", "unrolled"])
def test_one_step_estimators_agree(estimator: str, clip: float) -> None:
    """Each against the default of its level, which the tests above hold against numerical derivatives."""
    usual = after(OBSERVED, clip=clip)[1]
    other = after(replace(OBSERVED, alpha_estimator=estimator, loss_weights_estimator=estimator), clip=clip)[1]
    torch.testing.assert_close(other.alpha_indirect, usual.alpha_indirect, rtol=1e-6, atol=0)
    torch.testing.assert_close(other.loss_weights_gradient, usual.loss_weights_gradient, rtol=1e-6, atol=0)


@pytest.mark.parametrize("clip", [1e9, 0.8])
def test_unrolled_is_the_derivative_through_all_its_steps(clip: float) -> None:
    """Adam's moments and the clipping carry the change from step to step; one step alone is far off."""
    rates = (0.05, 0.04, 0.03, 0.05)

    def upper(lambda_: Tensor, alpha: Tensor) -> tuple[float, float]:
        problem, *_ = after(plain(OBSERVED, learning_rates=rates, loss_weights=lambda_, alpha=alpha), clip=clip)
        labels = problem.loss_weights_objective(alpha, 8)[0]
        return float(labels.detach()), float(problem.architecture_terms(alpha, 8).detach() @ lambda_)

    task = replace(OBSERVED, learning_rates=rates, horizon=4)
    parts = after(replace(task, alpha_estimator="unrolled", loss_weights_estimator="unrolled"), clip=clip)[1]
    of_lambda = numerical(lambda x: upper(x, ALPHA)[0], LAMBDA)
    of_alpha = numerical(lambda x: upper(LAMBDA, x)[1], ALPHA)
    torch.testing.assert_close(parts.loss_weights_gradient, of_lambda, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(parts.alpha_direct + parts.alpha_indirect, of_alpha, rtol=1e-6, atol=1e-9)
    short = after(task, clip=clip)[1]
    assert (short.loss_weights_gradient - of_lambda).norm() > 0.3 * of_lambda.norm()


def test_unrolled_refuses_more_steps_than_the_round_has() -> None:
    with pytest.raises(EstimatorError, match="expected 3 recorded steps, got 1"):
        after(replace(OBSERVED, loss_weights_estimator="unrolled", horizon=3))


@pytest.mark.parametrize("estimator", ["neumann", "conjugate_gradient"])
def test_a_level_rests_where_its_implicit_estimator_refuses(estimator: str) -> None:
    """Five steps from a random start are not near a minimum within two products."""
    task = replace(OBSERVED, alpha_estimator=estimator, loss_weights_estimator=estimator, horizon=2)
    problem, parts, _ = after(task)
    assert set(parts.refused) == {"alpha", "loss_weights"} and all("residual" in why for why in parts.refused.values())
    assert parts.alpha_indirect is None and parts.loss_weights_gradient is None
    left = after(plain(OBSERVED))[0]
    torch.testing.assert_close(problem.weights, left.weights, rtol=1e-12, atol=1e-14)


STEP = 0.15
BOTH = replace(OBSERVED, alpha_step=STEP)


def nested(lambda_: Tensor) -> float:
    """S(w2, a1) of the nested problem, with a1 from alpha's hypergradient at this lambda."""
    parts = after(replace(OBSERVED, loss_weights=lambda_, update_loss_weights=False))[1]
    gradient = parts.alpha_direct + parts.alpha_indirect
    moved = ALPHA - STEP * gradient / gradient.norm()
    problem, *_ = after(plain(OBSERVED, loss_weights=lambda_, alpha=moved))
    return float(problem.loss_weights_objective(moved, 5)[0].detach())


@pytest.mark.parametrize("alpha_estimator", ["darts_fd", "second_derivative"])
@pytest.mark.parametrize("estimator", ["dot_product", "through_output"])
def test_both_paths_are_the_derivative_of_the_nested_problem(alpha_estimator: str, estimator: str) -> None:
    parts = after(replace(BOTH, alpha_estimator=alpha_estimator, loss_weights_estimator=estimator))[1]
    expected = numerical(nested, LAMBDA)
    assert (parts.loss_weights_gradient + parts.loss_weights_through_alpha - expected).norm() < 1e-6 * expected.norm()
    assert parts.loss_weights_through_alpha.norm() > 0.05 * expected.norm()  # the second path is no detail here


def test_both_paths_leave_weights_moments_and_alpha_parts_alone() -> None:
    (watched, parts, a), (left, usual, b) = after(BOTH), after(OBSERVED)
    assert all(map(torch.equal, watched.weights, left.weights))
    assert all(map(torch.equal, a.state()["exp_avg_sq"], b.state()["exp_avg_sq"]))
    assert torch.equal(parts.alpha_indirect, usual.alpha_indirect)


def test_observing_does_not_change_the_weights() -> None:
    three = replace(OBSERVED, learning_rates=(0.05, 0.04, 0.03))
    (watched, _, a), (left, _, b) = after(three), after(plain(three))
    for w, v in zip(watched.weights, left.weights, strict=True):
        torch.testing.assert_close(w, v, rtol=1e-12, atol=1e-14)
    assert set(a.state()["steps"]) == set(b.state()["steps"]) == {8}
    lambda_only = after(replace(three, update_alpha=False))[0]
    assert all(map(torch.equal, watched.weights, lambda_only.weights))  # the weights were moved and put back


def test_terms_are_means_over_the_steps_of_a_round() -> None:
    steps = [after(plain(OBSERVED, learning_rates=(0.05, 0.04, 0.03)[:k]))[1].terms * k for k in (1, 2, 3)]
    assert torch.equal(steps[0], after(OBSERVED)[1].terms)
    problem, *_ = after(plain(OBSERVED, learning_rates=(0.05, 0.04)))
    torch.testing.assert_close(steps[2] - steps[1], problem.train_terms(ALPHA, 7).detach())


def test_upper_parts_come_from_the_problem() -> None:
    problem, parts, _ = after(OBSERVED)
    assert parts.upper == {"objective": float(problem.loss_weights_objective(ALPHA, 5)[0].detach())}
    torch.testing.assert_close(parts.architecture_terms, problem.architecture_terms(ALPHA, 5).detach())


def test_without_alpha() -> None:
    parts = after(replace(OBSERVED, alpha=None, update_alpha=False))[1]
    assert parts.alpha_direct is None and parts.loss_weights_gradient.shape == (3,)


class ThreadSum:
    """A reduce for workers that are threads."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=30)
        self.given: list[Sequence[Tensor]] = [[]] * count

    def of(self, index: int) -> Reduce:
        def reduce(tensors: Sequence[Tensor]) -> None:
            self.given[index] = [t.clone() for t in tensors]
            self.barrier.wait()
            totals = [torch.stack(column).sum(0) for column in zip(*self.given, strict=True)]
            self.barrier.wait()
            for tensor, total in zip(tensors, totals, strict=True):
                tensor.copy_(total)

        return reduce


UNROLLED = {"alpha_estimator": "unrolled", "loss_weights_estimator": "unrolled", "horizon": 2}


PATHS = {"alpha_step": STEP, "loss_weights_estimator": "dot_product"}  # a difference of differences would be rounding


@pytest.mark.parametrize("estimators", [{}, UNROLLED, PATHS], ids=["usual", "unrolled", "both paths"])
@pytest.mark.parametrize("clip", [1e9, 0.5])
@pytest.mark.parametrize("pairs", [4, 5])
def test_shares_of_two_workers_add_up_to_one(pairs: int, clip: float, estimators: dict[str, Any]) -> None:
    task = replace(OBSERVED, learning_rates=(0.05, 0.04), **estimators)
    one, whole, _ = after(task, problem=ToyTriLevel(pairs=pairs), clip=clip)
    total = ThreadSum(2)

    def work(index: int) -> tuple[ToyTriLevel, RoundParts, LowerStep]:
        problem = ToyTriLevel(pairs=pairs, index=index, count=2)
        return after(task, problem=problem, reduce=total.of(index), clip=clip)

    with ThreadPoolExecutor(2) as threads:
        (first, a, _), (second, b, _) = threads.map(work, range(2))
    names = ["terms", "alpha_direct", "alpha_indirect", "architecture_terms", "loss_weights_gradient"]
    if "alpha_step" in estimators:
        names.append("loss_weights_through_alpha")
    for name in names:
        torch.testing.assert_close(getattr(a, name) + getattr(b, name), getattr(whole, name), rtol=1e-8, atol=1e-10)
    assert a.upper["objective"] + b.upper["objective"] == pytest.approx(whole.upper["objective"], rel=1e-12)
    assert all(map(torch.equal, first.weights, second.weights))
    for w, v in zip(first.weights, one.weights, strict=True):
        torch.testing.assert_close(w, v, rtol=1e-11, atol=0)


class Broken(ToyTriLevel):
    """One objective is not finite from step 6 on."""

    def __init__(self, method: str, value: float) -> None:
        super().__init__()
        sound = getattr(self, method)

        def spoilt(alpha: Tensor, step: int) -> Any:
            found = sound(alpha, step)
            if step < 6:
                return found
            return (found[0] * value, found[1]) if isinstance(found, tuple) else found * value

        setattr(self, method, spoilt)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("method", "level", "step"),
    [
        ("train_terms", "weights", 6),
        ("architecture_terms", "architecture", 7),
        ("loss_weights_objective", "loss weights", 7),
    ],
)
def test_divergence_names_level_round_and_step(method: str, level: str, step: int, value: float) -> None:
    with pytest.raises(DivergedError) as caught:
        after(replace(OBSERVED, learning_rates=(0.05, 0.04, 0.03)), problem=Broken(method, value))
    assert (caught.value.level, caught.value.round_index, caught.value.step) == (level, 1, step)

"""The weight step: torch's Adam bit for bit, its response, and its state."""

import io
from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from autoreg.trilevel import LowerStep
from autoreg.trilevel.lower import Adjoint

BETAS = (0.9, 0.999)
RATES = (1e-2, 3e-3, 5e-3, 1e-3, 2e-2, 1e-2)


def fresh_weights() -> list[Tensor]:
    return [normal(4, seed=0).float().requires_grad_(), normal(2, 3, seed=1).float().requires_grad_()]


def gradient_of(step: int) -> list[Tensor]:
    return [normal(4, seed=10 + step).float(), normal(2, 3, seed=20 + step).float()]


def step_of(weights: list[Tensor], *, clip: float = 1e9) -> LowerStep:
    return LowerStep(weights, betas=BETAS, clip=clip)


def test_equals_torch_adam_bitwise() -> None:
    ours, theirs = fresh_weights(), fresh_weights()
    lower, adam = step_of(ours), torch.optim.Adam(theirs, lr=1.0, betas=BETAS)
    for step, rate in enumerate(RATES):
        assert all(map(torch.equal, lower.apply(gradient_of(step), rate)[0], gradient_of(step)))
        for weight, g in zip(theirs, gradient_of(step), strict=True):
            weight.grad = g
        adam.param_groups[0]["lr"] = rate
        adam.step()
    assert all(map(torch.equal, ours, theirs))
    assert all(w.grad is None for w in ours)


@pytest.mark.parametrize(
    ("shape", "share"),
    [
        ((4, 2, 7, 7, 7), 27 / 343),
        ((4, 2, 5, 5), 9 / 25),
        ((4, 2, 3, 3, 3), 1),
        ((4, 2, 4, 4, 4), 1),
        ((4, 1, 7, 7, 7), 1),
        ((4, 9), 1),
        ((9,), 1),
    ],
)
def test_a_wide_kernel_takes_shorter_steps(shape: tuple[int, ...], share: float) -> None:
    """Of it and a bias, each moves by its own part of the rate, in whatever order they come."""
    weights = [torch.zeros(shape, requires_grad=True), torch.zeros(3, requires_grad=True)]
    for order in (weights, weights[::-1]):
        before = [w.detach().clone() for w in order]
        step_of(order).apply([torch.ones_like(w) for w in order], 1e-2)
        moved = {w.ndim: float((w.detach() - b).abs().mean()) for w, b in zip(order, before, strict=True)}
        assert moved[1] == pytest.approx(1e-2, rel=1e-4)
        assert moved[len(shape)] == pytest.approx(share * 1e-2, rel=1e-4)


def test_pull_back_through_a_wide_kernel_is_shorter_by_its_part() -> None:
    def gradient(kernel: int) -> Tensor:
        weight = torch.zeros(1, 2, kernel, kernel, kernel, requires_grad=True)
        lower = step_of([weight])
        step = lower.record([torch.full_like(weight, 0.1)], 1e-2, batch=0)
        return lower.pull_back(step, Adjoint([torch.ones_like(weight)]))[0][0]

    torch.testing.assert_close(gradient(7)[..., 0, 0, 0], gradient(3)[..., 0, 0, 0] * 27 / 343)


def test_a_long_gradient_is_cut_to_the_clip() -> None:
    used, norm = step_of(fresh_weights(), clip=0.5).apply(gradient_of(0), 1e-2)
    assert norm == pytest.approx(torch.cat([g.flatten() for g in gradient_of(0)]).norm().item())
    assert torch.cat([g.flatten() for g in used]).norm().item() == pytest.approx(0.5)
    torch.testing.assert_close(used[0] / used[1].norm(), gradient_of(0)[0] / gradient_of(0)[1].norm())


@pytest.mark.parametrize("clip", [1e9, 0.5])
@pytest.mark.parametrize("history", [0, 1, 5])
def test_pull_back_is_the_derivative_of_the_step(history: int, clip: float) -> None:
    """Of a random function of the state after it, with respect to the gradient and to the moments before."""
    into = Adjoint(*([normal(5, seed=40 + i)] for i in range(3)))

    def value(change: Tensor) -> tuple[Tensor, Any, LowerStep]:
        weight = normal(5, seed=0).requires_grad_()
        lower = step_of([weight], clip=clip)
        for step in range(history):
            lower.apply([normal(5, seed=10 + step)], 1e-2)
        before = lower.state()
        if history:
            before["exp_avg"][0] += change[1]
            before["exp_avg_sq"][0] += change[2]
        lower.load(before)
        step = lower.record([normal(5, seed=30) + change[0]], 1e-2, batch=0)
        state = lower.state()
        parts = zip([weight.detach(), state["exp_avg"][0], state["exp_avg_sq"][0]], into_list, strict=True)
        return torch.stack([(x * a).sum() for x, a in parts]).sum(), step, lower

    into_list = [into.weights[0], into.exp_avg[0], into.exp_avg_sq[0]]
    _, step, lower = value(torch.zeros(3, 5, dtype=torch.float64))
    gradient, earlier = lower.pull_back(step, into)
    found = torch.stack([gradient[0], earlier.exp_avg[0], earlier.exp_avg_sq[0]])
    numerical = torch.zeros(3, 5, dtype=torch.float64)
    sizes = (1e-6, 1e-6, 1e-9)  # the second moment is small
    for row in range(3 if history else 1):
        for column in range(5):
            unit = torch.zeros(3, 5, dtype=torch.float64)
            unit[row, column] = sizes[row]
            numerical[row, column] = (value(unit)[0] - value(-unit)[0]) / (2 * sizes[row])
    rows = slice(0, 3 if history else 1)
    torch.testing.assert_close(found[rows], numerical[rows], rtol=2e-5, atol=1e-7)


def test_a_weight_without_any_gradient_does_not_respond() -> None:
    lower = step_of([torch.zeros(2, requires_grad=True)])
    lower.apply([torch.tensor([0.0, 1.0])], 1e-2)
    step = lower.record([torch.tensor([0.0, 2.0])], 1e-2, batch=0)
    (gradient,), _ = lower.pull_back(step, Adjoint([torch.ones(2)]))
    assert gradient[0] == 0.0 and gradient[1] != 0.0


def test_a_weight_that_takes_no_part_rests() -> None:
    """As if the steps without it had never been: value, moments, and the correction for few steps."""
    weights, alone = fresh_weights(), fresh_weights()[:1]
    lower, lonely = step_of(weights), step_of(alone)
    for step in range(6):
        gradient = gradient_of(step)
        if step % 2:
            gradient[0].zero_()
        else:
            lonely.apply(gradient[:1], 1e-2)
        lower.apply(gradient, 1e-2)
    assert torch.equal(weights[0], alone[0])
    assert lower.state()["steps"] == [3, 6]
    assert torch.equal(lower.state()["exp_avg_sq"][0], lonely.state()["exp_avg_sq"][0])


def test_the_way_back_leaves_a_resting_weight_alone() -> None:
    lower = step_of(fresh_weights())
    lower.apply(gradient_of(0), 1e-2)
    gradient = gradient_of(1)
    gradient[0].zero_()
    step = lower.record(gradient, 1e-2, batch=1)
    after = Adjoint(*(gradient_of(2 + i) for i in range(3)))
    of_gradient, before = lower.pull_back(step, after)
    assert before.exp_avg is not None and before.exp_avg_sq is not None
    assert after.exp_avg is not None and after.exp_avg_sq is not None
    assert not of_gradient[0].any() and of_gradient[1].any()
    for found, given in ((before.weights, after.weights), (before.exp_avg, after.exp_avg)):
        assert torch.equal(found[0], given[0])
    assert torch.equal(before.exp_avg_sq[0], after.exp_avg_sq[0])
    assert not torch.equal(before.exp_avg[1], after.exp_avg[1])


def test_undone_restores_weights_and_moments_also_after_a_failure() -> None:
    weights = fresh_weights()
    lower = step_of(weights)
    lower.apply(gradient_of(0), 1e-2)
    kept, state = [w.detach().clone() for w in weights], lower.state()

    def fail() -> None:
        with lower.undone():
            lower.apply(gradient_of(1), 1e-1)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert all(map(torch.equal, weights, kept))
    now = lower.state()
    assert now["steps"] == [1, 1] and all(map(torch.equal, now["exp_avg_sq"], state["exp_avg_sq"]))


@pytest.mark.parametrize("done", [0, 3])
def test_state_continues_bitwise(done: int) -> None:
    weights = fresh_weights()
    lower = step_of(weights)
    for step in range(done):
        lower.apply(gradient_of(step), RATES[step])
    file = io.BytesIO()
    torch.save((weights, lower.state()), file)
    file.seek(0)
    loaded, state = torch.load(file, weights_only=True)
    again = step_of(loaded)
    again.apply(gradient_of(9), 1.0)  # a step that loading must forget
    with torch.no_grad():
        for weight, kept in zip(loaded, weights, strict=True):
            weight.copy_(kept)
    again.load(state)
    for step in range(done, len(RATES)):
        lower.apply(gradient_of(step), RATES[step])
        again.apply(gradient_of(step), RATES[step])
    assert all(map(torch.equal, weights, loaded))


def test_state_is_a_copy() -> None:
    lower = step_of(fresh_weights())
    lower.apply(gradient_of(0), 1e-2)
    state = lower.state()
    kept = state["exp_avg"][0].clone()
    lower.apply(gradient_of(1), 1e-2)
    assert state["steps"] == [1, 1] and torch.equal(state["exp_avg"][0], kept)

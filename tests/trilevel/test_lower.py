"""The weight step: torch's Adam bit for bit, its response, and its state."""

import io

import pytest
import torch
from problems import normal
from torch import Tensor

from autoreg.trilevel import LowerStep

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
        assert all(map(torch.equal, lower.apply(gradient_of(step), rate), gradient_of(step)))
        for weight, g in zip(theirs, gradient_of(step), strict=True):
            weight.grad = g
        adam.param_groups[0]["lr"] = rate
        adam.step()
    assert all(map(torch.equal, ours, theirs))
    assert all(w.grad is None for w in ours)


def test_a_long_gradient_is_cut_to_the_clip() -> None:
    used = step_of(fresh_weights(), clip=0.5).apply(gradient_of(0), 1e-2)
    assert torch.cat([g.flatten() for g in used]).norm().item() == pytest.approx(0.5)
    torch.testing.assert_close(used[0] / used[1].norm(), gradient_of(0)[0] / gradient_of(0)[1].norm())


@pytest.mark.parametrize("history", [0, 1, 5])
def test_preconditioner_is_the_derivative_of_the_step(history: int) -> None:
    def moved(change: float) -> tuple[Tensor, Tensor]:
        """Movement over -eta of five weights whose last gradient is changed, and the response there."""
        weight = normal(5, seed=0).requires_grad_()
        lower = step_of([weight])
        for step in range(history):
            lower.apply([normal(5, seed=10 + step)], 1e-2)
        before = weight.detach().clone()
        used = lower.apply([normal(5, seed=30) + change], 1e-2)
        return (before - weight.detach()) / 1e-2, lower.preconditioner(used)[0]

    response = moved(0.0)[1]
    numerical = (moved(1e-5)[0] - moved(-1e-5)[0]) / 2e-5
    torch.testing.assert_close(response, numerical, rtol=1e-6, atol=1e-7)


def test_a_weight_without_any_gradient_does_not_respond() -> None:
    lower = step_of([torch.zeros(2, requires_grad=True)])
    lower.apply([torch.tensor([0.0, 1.0])], 1e-2)
    used = lower.apply([torch.tensor([0.0, 2.0])], 1e-2)
    first, second = lower.preconditioner(used)[0].tolist()
    assert first == 0.0 and second != 0.0


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
    assert state["step"] == 1 and torch.equal(state["exp_avg"][0], kept)

"""The lowest level: one step of the weights with Adam, and how that step answers to its gradient."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autoreg.trilevel.levels import vector_norm


class LowerStep:
    """Adam on the weights.

    Reference: Kingma and Ba, arXiv:1412.6980, algorithm 1.
    """

    def __init__(self, weights: Sequence[Tensor], *, betas: tuple[float, float], clip: float) -> None:
        self.weights = list(weights)
        self.clip = clip
        self.optimiser = torch.optim.Adam(self.weights, lr=0.0, betas=betas)

    def apply(self, gradient: Sequence[Tensor], learning_rate: float) -> list[Tensor]:
        """Move the weights along a gradient; returns the gradient as used, that is after clipping its norm."""
        norm = float(vector_norm(gradient))
        scale = min(1.0, self.clip / norm) if norm > 0 else 1.0
        used = [g * scale for g in gradient] if scale < 1 else list(gradient)
        for weight, g in zip(self.weights, used, strict=True):
            weight.grad = g
        self.optimiser.param_groups[0]["lr"] = learning_rate
        self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        self.optimiser.zero_grad(set_to_none=True)
        return used

    def preconditioner(self, used_gradient: Sequence[Tensor]) -> list[Tensor]:
        """P = d(Adam's direction)/d(gradient) of the step just taken, diagonal, one tensor a weight.

        With m = b1 m0 + (1 - b1) g, v = b2 v0 + (1 - b2) g^2, r = sqrt(v / c2):
        P = (1 - b1)/c1 / (r + eps) - m/c1 / (r + eps)^2 * (1 - b2) g / (c2 r).
        Ignoring it is the error that SAMA corrects (Choe et al., arXiv:2310.05674). The scale of a clipped
        gradient is taken as constant. A weight that has had no gradient so far does not respond: there the
        formula is 1/eps, true only for gradients below eps.
        """
        group = self.optimiser.param_groups[0]
        (b1, b2), eps = group["betas"], group["eps"]
        found: list[Tensor] = []
        for weight, g in zip(self.weights, used_gradient, strict=True):
            state = self.optimiser.state[weight]
            step = float(state["step"])
            c1, c2 = 1 - b1**step, 1 - b2**step
            root = (state["exp_avg_sq"] / c2).sqrt()
            first = (1 - b1) / c1 / (root + eps)
            second = state["exp_avg"] / c1 / (root + eps) ** 2 * (1 - b2) / c2 * g / root
            found.append(torch.where(root > 0, first - second, 0.0))
        return found

    def state(self) -> dict[str, list[Tensor] | int]:
        """Moments and step count, safe to load with weights_only=True."""
        states = [self.optimiser.state[w] for w in self.weights]
        if not states or "step" not in states[0]:
            return {"step": 0}
        return {
            "step": int(states[0]["step"]),
            "exp_avg": [s["exp_avg"].clone() for s in states],
            "exp_avg_sq": [s["exp_avg_sq"].clone() for s in states],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.optimiser.state.clear()
        if not state["step"]:
            return
        step = torch.tensor(float(state["step"]))
        for weight, m, v in zip(self.weights, state["exp_avg"], state["exp_avg_sq"], strict=True):
            self.optimiser.state[weight] = {
                "step": step.clone(),
                "exp_avg": _laid_out_like(weight, m),
                "exp_avg_sq": _laid_out_like(weight, v),
            }


def _laid_out_like(weight: Tensor, values: Tensor) -> Tensor:
    """A copy with the weight's device and memory order: sums over another order differ in their last bits."""
    return torch.empty_like(weight).copy_(values)

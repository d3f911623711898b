"""The lowest level: a step of the weights with Adam, and the way back through it."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import hypot
from typing import Any

import torch
from torch import Tensor

from autoreg.trilevel.levels import place, vector_norm

Vector = list[Tensor]
"""One tensor a weight."""
WIDE = 5
"""Kernels of this size and more take shorter steps,"""
USUAL = 3
"""by as much as they have more taps than this one."""


@dataclass(frozen=True)
class Step:
    """A step of the weights as it was taken: enough to differentiate through it later."""

    batch: int
    """Its number, which is also that of its batch."""
    before: Vector
    """Weights it started from."""
    gradient: Vector
    """grad_w R after clipping."""
    norm: float
    """Of the gradient before clipping."""
    exp_avg: Vector
    exp_avg_sq: Vector
    """Adam's moments after the step."""
    counts: tuple[int, ...]
    """Steps of each weight so far, this one included if the weight took it."""
    learning_rate: float
    length: float
    """|w' - w|, how far the weights went."""
    by_term: tuple[Vector, ...] = ()
    """grad_w l_i at `before`, of this worker's share; only where it was asked for."""
    by_output: tuple[Vector, ...] = ()
    """dl_i/d output at `before`, of this worker's share; only where it was asked for."""


@dataclass(frozen=True)
class Adjoint:
    """Derivative of something later with respect to a lower state: weights and both moments."""

    weights: Vector
    exp_avg: Vector | None = None
    exp_avg_sq: Vector | None = None


class LowerStep:
    """Adam on the weights, each with a step count of its own.

    A weight whose gradient is 0 all over takes no part in the objective (a primitive that was not sampled) and rests:
    it keeps its value, its moments and its count. With a common count the first gradient of a primitive that is sampled
    late would move it up to ten steps far, since Adam divides by a second moment that is corrected for steps which
    that weight never took; and momentum would move it on while it is not looked at.

    A wide kernel takes a part of the learning rate (`step_share`).

    Reference: Kingma and Ba, arXiv:1412.6980, algorithm 1.
    """

    def __init__(self, weights: Sequence[Tensor], *, betas: tuple[float, float], clip: float) -> None:
        self.weights = list(weights)
        self.clip = clip
        self.shares = [step_share(weight) for weight in weights]
        groups = [
            {"params": [w for w, own in zip(self.weights, self.shares, strict=True) if own == share], "share": share}
            for share in sorted({*self.shares}, reverse=True)
        ]
        self.optimiser = torch.optim.Adam(groups, lr=0.0, betas=betas)

    def apply(self, gradient: Sequence[Tensor], learning_rate: float) -> tuple[Vector, float]:
        """Move the weights along a gradient; returns it as used, after clipping its norm, and its norm before."""
        norms = [float(n) for n in torch.stack([g.double().square().sum() for g in gradient]).sqrt().cpu()]
        norm = hypot(*norms)
        scale = self._scale(norm)
        used = [g * scale for g in gradient] if scale < 1 else list(gradient)
        for weight, g, own in zip(self.weights, used, norms, strict=True):
            weight.grad = None if own == 0 else g
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate * group["share"]
        self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        self.optimiser.zero_grad(set_to_none=True)
        return used, norm

    def record(
        self,
        gradient: Sequence[Tensor],
        learning_rate: float,
        *,
        batch: int,
        by_term: Sequence[Vector] = (),
        by_output: Sequence[Vector] = (),
    ) -> Step:
        """`apply`, and what the way back needs."""
        before = [w.detach().clone() for w in self.weights]
        used, norm = self.apply(gradient, learning_rate)
        state = self.state()
        return Step(
            batch=batch,
            before=before,
            gradient=used,
            norm=norm,
            exp_avg=state["exp_avg"],
            exp_avg_sq=state["exp_avg_sq"],
            counts=tuple(state["steps"]),
            learning_rate=learning_rate,
            length=float(vector_norm([w.detach() - b for w, b in zip(self.weights, before, strict=True)])),
            by_term=tuple(by_term),
            by_output=tuple(by_output),
        )

    def pull_back(self, step: Step, after: Adjoint) -> tuple[Vector, Adjoint]:
        """Through one step: the adjoint of its gradient (before clipping), and that of the state before it.

        With m = b1 m0 + (1 - b1) g, v = b2 v0 + (1 - b2) g^2, c_k = 1 - b_k^t, r = sqrt(v / c2) and
        w' = w - eta m / (c1 (r + eps)), for the adjoints a(.) of the state after the step:

            A_m = a(m) - eta a(w') / (c1 (r + eps))
            A_v = a(v) + eta a(w') m / (c1 (r + eps)^2) / (2 r c2)
            a(g) = (1 - b1) A_m + 2 (1 - b2) g A_v,   a(m0) = b1 A_m,   a(v0) = b2 A_v,   a(w) = a(w').

        eta is the weight's own part of the learning rate. g depends on w; that part of a(w) is the caller's, who knows
        the second derivative. Without moments' adjoints a(g) is - eta P a(w') with P = d(Adam's direction)/dg,
        diagonal; ignoring P is the error that SAMA corrects (Choe et al., arXiv:2310.05674). A weight that has had no
        gradient so far does not respond: there the formula is 1/eps, true only for gradients below eps. Nor does one
        that rests in this step: its state after the step is the one before.
        """
        group = self.optimiser.param_groups[0]
        (b1, b2), eps = group["betas"], group["eps"]
        of_gradient: Vector = []
        first: Vector = []
        second: Vector = []
        for i, (g, m, v) in enumerate(zip(step.gradient, step.exp_avg, step.exp_avg_sq, strict=True)):
            if not g.any():
                of_gradient.append(torch.zeros_like(g))
                first.append(torch.zeros_like(g) if after.exp_avg is None else after.exp_avg[i])
                second.append(torch.zeros_like(g) if after.exp_avg_sq is None else after.exp_avg_sq[i])
                continue
            c1, c2 = 1 - b1 ** step.counts[i], 1 - b2 ** step.counts[i]
            root = (v / c2).sqrt()
            pull = self.shares[i] * step.learning_rate * after.weights[i] / (c1 * (root + eps))
            a_m = torch.where(root > 0, -pull, 0.0)
            a_v = torch.where(root > 0, pull * m / (root + eps) / (2 * root * c2), 0.0)
            if after.exp_avg is not None and after.exp_avg_sq is not None:
                a_m, a_v = a_m + after.exp_avg[i], a_v + after.exp_avg_sq[i]
            of_gradient.append((1 - b1) * a_m + 2 * (1 - b2) * g * a_v)
            first.append(b1 * a_m)
            second.append(b2 * a_v)
        return self._through_clipping(step, of_gradient), Adjoint(after.weights, first, second)

    def _through_clipping(self, step: Step, adjoint: Vector) -> Vector:
        """u = c g / |g|, so a(g) = c / |g| (a(u) - u <u, a(u)> / c^2)."""
        scale = self._scale(step.norm)
        if scale == 1:
            return adjoint
        along = sum(float((u * a).sum()) for u, a in zip(step.gradient, adjoint, strict=True)) / self.clip**2
        return [scale * (a - along * u) for u, a in zip(step.gradient, adjoint, strict=True)]

    def _scale(self, norm: float) -> float:
        return min(1.0, self.clip / norm) if norm > 0 else 1.0

    @contextmanager
    def undone(self) -> Generator[None, None, None]:
        """Whatever happens to weights and moments inside is undone, bit for bit, also when it fails."""
        weights, state = [w.detach().clone() for w in self.weights], self.state()
        try:
            yield
        finally:
            place(self.weights, weights)
            self.load(state)

    def state(self) -> dict[str, Any]:
        """Moments and step counts, safe to load with weights_only=True."""
        states = [self.optimiser.state.get(w, {}) for w in self.weights]
        moments = {
            name: [s[name].clone() if s else torch.zeros_like(w) for w, s in zip(self.weights, states, strict=True)]
            for name in ("exp_avg", "exp_avg_sq")
        }
        return {"steps": [int(s["step"]) if s else 0 for s in states], **moments}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.optimiser.state.clear()
        every = zip(self.weights, state["steps"], state["exp_avg"], state["exp_avg_sq"], strict=True)
        for weight, steps, m, v in every:
            if not steps:
                continue
            self.optimiser.state[weight] = {
                "step": torch.tensor(float(steps)),
                "exp_avg": _laid_out_like(weight, m),
                "exp_avg_sq": _laid_out_like(weight, v),
            }


def step_share(weight: Tensor) -> float:
    """The part of the learning rate that a weight (c_out, c_in, *k) takes: (3 / k)^d from k = 5 on, else 1.

    Adam moves every tap by about the learning rate, so a step changes what a convolution gives in proportion to its
    number of taps: a kernel of 7^3 goes 12.7 times as far as one of 3^3, and explodes where that one learns. Kernels
    with one channel of input (depthwise ones) sum few products and take the whole.
    Reference: Yang et al., arXiv:2203.03466, table 3: Adam's learning rate in proportion to 1 / fan-in.
    """
    if weight.ndim < 4 or weight.shape[1] == 1 or weight.shape[2] < WIDE:
        return 1.0
    return USUAL ** (weight.ndim - 2) / weight[0, 0].numel()


def _laid_out_like(weight: Tensor, values: Tensor) -> Tensor:
    """A copy with the weight's device and memory order: sums over another order differ in their last bits."""
    return torch.empty_like(weight).copy_(values)

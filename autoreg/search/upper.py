"""The two upper levels: alpha, lambda, and the multipliers of the bounds, moved by the controller."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoreg.errors import InputError
from autoreg.search.constraint import Constraint
from autoreg.search.drift import Drift
from autoreg.trilevel import LossWeights, WeightRange
from autoreg.trilevel.hypergradient import ALPHA_ESTIMATORS, LOSS_WEIGHTS_ESTIMATORS, ONE_STEP
from autoreg.workers.messages import RoundReport

ALPHA_START_SPREAD = 1e-3  # as in the original: all primitives nearly equal
MOMENTUM = 0.5
logger = logging.getLogger(__name__)
LEVELS = ("both", "alpha", "loss_weights")
PATHS = ("sequential", "direct", "full")


@dataclass(frozen=True)
class UpperConfig:
    """How alpha and lambda move."""

    alpha_learning_rate: float = 0.3
    """Length of alpha's step in a round, over all edges together."""
    lambda_learning_rate: float = 0.4
    """Length of the step of log lambda in a round."""
    levels: str = "both"
    """What is searched: `both`, `alpha` or `loss_weights`; the other stays at its start."""
    paths: str = "direct"
    """Ways from the loss weights to the labels' objective: `direct` through the weights alone, `full` also through
    alpha; `sequential` searches alpha in the first half of the rounds and the loss weights in the second."""
    alpha_estimator: str = "darts_fd"
    loss_weights_estimator: str = "unrolled"
    horizon: int = 2
    """Steps that `unrolled` goes back; the most products of `neumann` and `conjugate_gradient`."""

    def __post_init__(self) -> None:
        _known("levels", self.levels, LEVELS)
        _known("paths", self.paths, PATHS)
        _known("alpha_estimator", self.alpha_estimator, ALPHA_ESTIMATORS)
        _known("loss_weights_estimator", self.loss_weights_estimator, LOSS_WEIGHTS_ESTIMATORS)
        if self.horizon < 1:
            raise InputError(f"search.upper.horizon: expected at least 1, got {self.horizon}")
        if self.paths == "full" and not (self.alpha_estimator in ONE_STEP and self.loss_weights_estimator in ONE_STEP):
            got = f"{self.alpha_estimator}, {self.loss_weights_estimator}"
            raise InputError(f"search.upper.paths: full goes through one step ({', '.join(ONE_STEP)}), got {got}")


class UpperLevels:
    """alpha and lambda with their optimisers, and the bounds with their multipliers.

    Args:
        shape: (rows, columns) of alpha.
        ranges: the loss terms' starts and ranges.
        bounds: figures that the labels' objective must keep under these values.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        ranges: Sequence[WeightRange],
        config: UpperConfig,
        *,
        bounds: Mapping[str, float],
        seed: int,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.alpha = ALPHA_START_SPREAD * torch.randn(shape, generator=generator)
        self.drift = Drift(shape)
        self.loss_weights = LossWeights(ranges)
        self.constraints = {name: Constraint(bound) for name, bound in bounds.items()}
        # short memory as in the original, since the lower level keeps moving
        sgd = partial(torch.optim.SGD, momentum=MOMENTUM, dampening=MOMENTUM)
        self._alpha_steps = sgd([self.alpha], lr=config.alpha_learning_rate)
        self._theta_steps = sgd([self.loss_weights.theta], lr=config.lambda_learning_rate)

    def update(self, reports: Sequence[RoundReport], pull: Tensor | None = None) -> dict[str, float]:
        """One step of alpha and of lambda from all workers' shares; returns what to log.

        Args:
            pull: what a budget adds to alpha's direction (whose length is one).
        """
        logged: dict[str, float] = {f"refused.{level}": 1.0 for level in reports[0].refused}
        for reason in reports[0].refused.values():
            logger.warning("round %d: %s; this level rests", reports[0].index, reason)
        direct, indirect = _total(reports, "alpha_direct"), _total(reports, "alpha_indirect")
        if direct is not None and indirect is not None:
            gradient = (direct + indirect).to(self.alpha)
            direction = _unit(gradient)
            self.drift.add(-direction)
            _step(self._alpha_steps, self.alpha, direction if pull is None else direction + pull)
            logged["alpha_hypergradient_norm"] = float(gradient.norm())
        through_weights = _total(reports, "loss_weights_gradient")
        if through_weights is not None:
            through_alpha = _total(reports, "loss_weights_through_alpha")
            if through_alpha is not None:
                logged["lambda_alpha_path_share"] = self._share_of_alpha_path(through_weights, through_alpha)
                through_weights = through_weights + through_alpha
            logged |= self._move_loss_weights(through_weights, reports)
        return logged

    def _move_loss_weights(self, gradient: Tensor, reports: Sequence[RoundReport]) -> dict[str, float]:
        gradient = self.loss_weights.pull_back(gradient)
        _step(self._theta_steps, self.loss_weights.theta, _unit(gradient))
        self.loss_weights.clip()
        upper = {name: sum(r.upper[name] for r in reports) for name in reports[0].upper}
        objective = 1 - upper["dice"]
        for name, constraint in self.constraints.items():
            objective += constraint.price * upper[f"stand_in.{name}"]
            constraint.update(upper[name], upper[f"stand_in.{name}"])
        return {
            "lambda_hypergradient_norm": float(gradient.norm()),
            "loss_weights_objective": objective,
            "soft_dice": upper["dice"],
            **{name: upper[name] for name in self.constraints},
            **{f"multiplier.{name}": c.multiplier for name, c in self.constraints.items()},
        }

    def _share_of_alpha_path(self, through_weights: Tensor, through_alpha: Tensor) -> float:
        """|through alpha| over the sum of both lengths, in log lambda."""
        a, b = (float(self.loss_weights.pull_back(g).norm()) for g in (through_alpha, through_weights))
        return a / (a + b) if a + b > 0 else 0.0

    def prices(self) -> dict[str, float]:
        """What the bounded figures cost in the next round."""
        return {name: constraint.price for name, constraint in self.constraints.items()}

    def probabilities(self) -> np.ndarray:
        """softmax(alpha), (rows, columns)."""
        return self.alpha.softmax(dim=1).numpy()

    def entropy(self) -> float:
        """Mean entropy of the choices in nats; log(options) is undecided."""
        return float(torch.special.entr(self.alpha.double().softmax(dim=1)).sum(1).mean())

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers for a checkpoint."""
        return {
            "alpha": self.alpha.clone(),
            "drift": self.drift.state(),
            "theta": self.loss_weights.theta.clone(),
            "constraints": {n: [c.multiplier, c.price] for n, c in self.constraints.items()},
            "alpha_steps": _optimiser_state(self._alpha_steps, self.alpha),
            "theta_steps": _optimiser_state(self._theta_steps, self.loss_weights.theta),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.alpha.copy_(torch.as_tensor(state["alpha"]))
        self.drift.load(state["drift"])
        self.loss_weights.theta.copy_(torch.as_tensor(state["theta"]))
        for name, (multiplier, price) in state["constraints"].items():
            self.constraints[name].multiplier, self.constraints[name].price = float(multiplier), float(price)
        _load_optimiser(self._alpha_steps, self.alpha, state["alpha_steps"])
        _load_optimiser(self._theta_steps, self.loss_weights.theta, state["theta_steps"])


def _known(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"search.upper.{key}: expected one of {', '.join(known)}, got {value!r}")


def _total(reports: Sequence[RoundReport], field: str) -> Tensor | None:
    """Sum of the shares, in the order of ranks."""
    shares = [getattr(report, field) for report in reports]
    return None if shares[0] is None else torch.from_numpy(np.sum(np.stack(shares), axis=0))


def _unit(gradient: Tensor) -> Tensor:
    """The direction alone, so that every round has the same say.

    Coordinates keep their proportions: Adam would move a loss weight that hardly matters as far as one that
    decides, and one round of a thousandfold gradient would hold all of them still for hundreds of rounds.
    """
    norm = gradient.norm()
    return gradient / norm if norm > 0 else gradient


def _step(optimiser: torch.optim.SGD, value: Tensor, gradient: Tensor) -> None:
    value.grad = gradient
    optimiser.step()
    value.grad = None


def _optimiser_state(optimiser: torch.optim.SGD, value: Tensor) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in optimiser.state[value].items()} if value in optimiser.state else {}


def _load_optimiser(optimiser: torch.optim.SGD, value: Tensor, state: dict[str, Any]) -> None:
    optimiser.state.clear()
    if state:
        optimiser.state[value] = {k: torch.as_tensor(v).clone() for k, v in state.items()}

"""Architecture under a budget: what alpha is pulled by while searching, and what is decoded in the end."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autoreg.errors import ConfigError
from autoreg.networks import Choices, Costs, best_choice, expected_cost

_PRICE_STEP = 0.1
UNITS = {"ms": "ms a pair", "mib": "MiB of a training step", "params": "weights"}


class Budget:
    """Most that a network may cost, by kind (`ms`, `mib`, `params`); empty is no bound.

    Each kind has a price, the multiplier of its constraint: it rises by a tenth of the relative excess of the
    expected cost in every round, and falls to zero while there is room.
    """

    def __init__(self, limits: Mapping[str, float], choices: Choices) -> None:
        self.limits = dict(limits)
        self.choices = choices
        self.costs: dict[str, Costs] = {}
        self._prices = dict.fromkeys(limits, 0.0)

    def use(self, costs: Mapping[str, Costs]) -> None:
        """Take measured costs. Raises ConfigError for a limit that no network keeps."""
        self.costs = dict(costs)
        for kind, limit in self.limits.items():
            least = self.costs[kind].cheapest(self.choices)
            if least > limit:
                raise ConfigError(
                    f"search.max_{kind}: expected at least {least:.4g} {UNITS[kind]} (the cheapest network of this "
                    f"space on these images and this device), got {limit:g}"
                )

    def pull(self, alpha: Tensor) -> tuple[Tensor, dict[str, float]]:
        """A direction for alpha, longer the dearer; and what to log. Prices move."""
        total, logged = torch.zeros_like(alpha), {}
        for kind, limit in self.limits.items():
            variable = alpha.detach().requires_grad_()
            cost = expected_cost(self.costs[kind], self.choices, variable.softmax(dim=1))
            (slope,) = torch.autograd.grad(cost, variable)
            expected = float(cost.detach())
            excess = min(max(expected / limit - 1, -1.0), 1.0)
            self._prices[kind] = max(0.0, self._prices[kind] + _PRICE_STEP * excess)
            norm = slope.norm()
            if norm > 0:
                total += self._prices[kind] * slope / norm
            logged |= {f"cost.{kind}": expected, f"cost_price.{kind}": self._prices[kind]}
        return total, logged

    def decode(self, scores: Tensor, tighter: Mapping[str, float] | None = None) -> list[int]:
        """The option of every choice: the largest sum of scores that keeps the limits, and those of `tighter`."""
        try:
            return best_choice(self.choices, scores.double().numpy(), self.costs, self.limits | dict(tighter or {}))
        except ValueError as error:
            raise ConfigError(f"search: {error}") from error

    def state(self) -> dict[str, Any]:
        """Prices and measured costs: measured again after a kill they would differ."""
        costs = {kind: cost.to_dict() for kind, cost in self.costs.items()}
        return {"costs": costs, "prices": dict(self._prices)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.costs = {kind: Costs.from_dict(cost) for kind, cost in state["costs"].items()}
        self._prices = {kind: float(price) for kind, price in state["prices"].items()}

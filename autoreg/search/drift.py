"""Whether alpha's steps lead anywhere, or are those of a random walk.

A search that is short beside a training sees a few batches, whose gradients in alpha hardly agree; the largest alpha is
then a draw. With d_k the direction of round k for one option less that for another, steps of no tendency have

    t = sum_k d_k / sqrt(sum_k d_k^2)

about standard normal, and at most sqrt(rounds): P(t >= x) <= exp(-x^2 / 2) for directions that are symmetric.
Reference: de la Pena, Lai and Shao, Self-Normalized Processes, 2009, doi:10.1007/978-3-540-85636-8, section 2.1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Drift:
    """Sums over rounds of alpha's directions, and of their products in pairs; shape is alpha's (rows, columns)."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._sums = torch.zeros(shape, dtype=torch.float64)
        self._products = torch.zeros(*shape, shape[1], dtype=torch.float64)

    def add(self, direction: Tensor) -> None:
        """A round's direction of descent, (rows, columns)."""
        direction = direction.double()
        self._sums += direction
        self._products += direction[:, :, None] * direction[:, None, :]

    def over(self, options: Sequence[int]) -> Tensor:
        """t of every option over the given one of its row, (rows, columns); 0 where nothing ever differed."""
        rows = torch.arange(len(options))
        given = torch.tensor(options, dtype=torch.long)
        squares = self._products.diagonal(dim1=1, dim2=2)
        sums = self._sums - self._sums[rows, given][:, None]
        spread = squares - 2 * self._products[rows, given] + squares[rows, given][:, None]
        return torch.where(spread > 0, sums / spread.clamp(min=1e-30).sqrt(), 0.0)

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"sums": self._sums.clone(), "products": self._products.clone()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self._sums.copy_(torch.as_tensor(state["sums"]))
        self._products.copy_(torch.as_tensor(state["products"]))

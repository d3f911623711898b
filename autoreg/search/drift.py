"""Whether alpha's steps lead anywhere, or are those of a random walk.

A search that is short beside a training sees a few batches, whose gradients in alpha hardly agree; the largest alpha is
then a draw. With d_k the direction of round k for one option less that for another, the one-sample t statistic of the
d_k,

    T = s sqrt((n - 1) / (n - s^2)),    s = sum_k d_k / sqrt(sum_k d_k^2)

has Student's distribution with n - 1 degrees of freedom where n rounds have no tendency (Student 1908,
doi:10.1093/biomet/6.1.1), so few rounds that agree count as what they are. It is given as the standard deviations
of a normal variable with the same tail.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from scipy.special import ndtri, stdtr
from torch import Tensor

_CERTAIN = 8.0
"""Deviations; rounds that agree to the last bit would have infinitely many."""


class Drift:
    """Sums over rounds of alpha's directions, and of their products in pairs; shape is alpha's (rows, columns)."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._rounds = 0
        self._sums = torch.zeros(shape, dtype=torch.float64)
        self._products = torch.zeros(*shape, shape[1], dtype=torch.float64)

    def add(self, direction: Tensor) -> None:
        """A round's direction of descent, (rows, columns)."""
        direction = direction.double()
        self._rounds += 1
        self._sums += direction
        self._products += direction[:, :, None] * direction[:, None, :]

    def over(self, options: Sequence[int]) -> Tensor:
        """Evidence for every option over the given one of its row, in standard deviations, (rows, columns).

        0 where nothing ever differed, and after a single round.
        """
        rows = torch.arange(len(options))
        given = torch.tensor(options, dtype=torch.long)
        squares = self._products.diagonal(dim1=1, dim2=2)
        sums = self._sums - self._sums[rows, given][:, None]
        spread = squares - 2 * self._products[rows, given] + squares[rows, given][:, None]
        share = torch.where(spread > 0, sums / spread.clamp(min=1e-30).sqrt(), 0.0)
        return self._deviations(share)

    def _deviations(self, share: Tensor) -> Tensor:
        """Of s in the formula above."""
        if self._rounds < 2:
            return torch.zeros_like(share)
        freedom = self._rounds - 1
        student = share.abs() * (freedom / (self._rounds - share.square()).clamp(min=1e-12)).sqrt()
        tail = torch.from_numpy(stdtr(freedom, -student.numpy()))
        deviations = -torch.from_numpy(ndtri(tail.numpy()))
        return deviations.clamp(max=_CERTAIN) * share.sign()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"rounds": self._rounds, "sums": self._sums.clone(), "products": self._products.clone()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self._rounds = int(state["rounds"])
        self._sums.copy_(torch.as_tensor(state["sums"]))
        self._products.copy_(torch.as_tensor(state["products"]))

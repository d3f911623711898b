"""The terms of the registration objective, measured on a batch of pairs."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoreg.losses import SIMILARITIES, SMOOTHNESS, folding, log_jacobian_spread, one_hot, soft_dice_loss
from autoreg.metrics import folds_percent, sdlogj
from autoreg.networks import Registration
from autoreg.registration.batch import PairBatch
from autoreg.registration.space import OVERLAP, Term
from autoreg.shapes import Displacement, OneHot
from autoreg.spatial import halve, warp

BOUNDED: dict[str, tuple[Callable[[Displacement], float], Callable[[Displacement], Tensor]]] = {
    "folds_percent": (folds_percent, folding),
    "sdlogj": (sdlogj, log_jacobian_spread),
}
"""Figures that a search may bound: the figure of one displacement, and its differentiable stand-in, (b,)."""


class Objective:
    """Named terms l_i on given grids; their weights lambda are not here.

    Args:
        terms: the terms in lambda's order.
        labels: foreground label numbers, for terms of kind `dice`.
    """

    def __init__(self, terms: Sequence[Term], labels: Sequence[int]) -> None:
        self.terms = tuple(terms)
        self.labels = tuple(labels)

    def terms_of(self, batch: PairBatch, registration: Registration) -> Tensor:
        """Every term, mean over the pairs of the batch: (terms,)."""
        levels = {term.level for term in self.terms}
        seen = {level: _Level(batch, registration, level) for level in levels}
        return torch.stack([self._measure(term, seen[term.level]).mean() for term in self.terms])

    def _measure(self, term: Term, at: "_Level") -> Tensor:
        if term.kind in SMOOTHNESS:
            return SMOOTHNESS[term.kind](at.displacement)
        if term.kind == OVERLAP:
            if not at.batch.labelled or not self.labels:
                return at.displacement.new_zeros(1)
            return soft_dice_loss(*at.overlapping(self.labels))
        options = {"window": term.window} if term.window else {}
        return SIMILARITIES[term.kind](at.fixed, at.warped, at.mask, **options)

    def overlap(self, batch: PairBatch, registration: Registration, *, level: int) -> Tensor:
        """Soft Dice loss of the labels, mean over the batch."""
        return soft_dice_loss(*_Level(batch, registration, level).overlapping(self.labels)).mean()


class _Level:
    """A batch seen on one grid of the pyramid, warped once for all terms of that grid."""

    def __init__(self, batch: PairBatch, registration: Registration, level: int) -> None:
        self.batch, self.level = batch, level
        self.displacement = displacement_at(registration, level)
        self.fixed = halve(batch.fixed.image, times=level)
        moving = torch.cat([batch.moving.image, batch.moving.foreground], dim=1)
        warped = warp(halve(moving, times=level), self.displacement)
        self.warped = warped[:, :1]
        # both images must be there; detached, so that no term can gain by moving the mask
        inside = halve(batch.fixed.foreground, times=level) * warped[:, 1:].detach()
        self.mask = (inside > 0.5).to(inside.dtype)

    def overlapping(self, numbers: Sequence[int]) -> tuple[OneHot, OneHot]:
        """One-hot labels of the fixed and the warped moving side."""
        assert self.batch.fixed.labels is not None and self.batch.moving.labels is not None
        fixed = one_hot(self.batch.fixed.labels, numbers, times=self.level)
        moving = one_hot(self.batch.moving.labels, numbers, times=self.level)
        return fixed, warp(moving, self.displacement)


def displacement_at(registration: Registration, level: int) -> Displacement:
    """The displacement on the image's grid (0) or on a coarser one."""
    if level == 0:
        return registration.displacement
    if level <= len(registration.levels):
        return registration.levels[level - 1]
    times = level - len(registration.levels)  # a network with fewer levels than the search space, such as VoxelMorph
    return halve(registration.levels[-1], times=times) / 2**times

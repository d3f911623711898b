"""A bound that the labels' objective must keep, by an augmented Lagrangian.

    min f  subject to  c = value / bound - 1 <= 0:   descend f + max(0, m + r c) c,   then  m <- max(0, m + r c)

with the multiplier m in units of f (Dice) for a value of twice the bound. What people bound may have no derivative (a
count of folded voxels); then a differentiable stand-in takes its place in the slope and the value itself moves m, as in
the proxy Lagrangian of Cotter et al., arXiv:1809.04198. References: Hestenes 1969, doi:10.1007/BF00927673; Powell 1969.
"""

from dataclasses import dataclass

PENALTY = 0.05
"""r. One step of a search sees a few pairs, so it is small beside a Dice of 1; the multiplier does the rest."""
LARGEST_EXCESS = 1.0
"""Of c in one step: one batch gone wrong must not decide the search."""


@dataclass
class Constraint:
    """One bound and its multiplier."""

    bound: float
    multiplier: float = PENALTY
    price: float = 0.0
    """What a unit of the stand-in costs in the next round."""

    def update(self, value: float, stand_in: float) -> None:
        """After a round in which the bounded figure had this value and its stand-in that one."""
        excess = min(max(value / self.bound - 1, -LARGEST_EXCESS), LARGEST_EXCESS)
        self.multiplier = max(0.0, self.multiplier + PENALTY * excess)
        slope = value / self.bound / stand_in if stand_in > 0 else 0.0  # of c in the stand-in, seen as proportional
        self.price = max(0.0, self.multiplier + PENALTY * excess) * slope

"""Derivative of any values along a direction of the weights, by a central difference.

    d values / dw . q  =  [ values(w + e q) - values(w - e q) ] / (2 e),   e = scale / |q|

Reference: Liu et al., DARTS, arXiv:1806.09055, equation 8.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoreg.trilevel.levels import place, vector_norm

SCALE = 1e-3
"""Length of the move in weight space in single precision, against rounding. DARTS always takes 0.01."""
SCALE_DOUBLE = 1e-5


def derivative_along(
    values: Callable[[], Sequence[Tensor]],
    weights: Sequence[Tensor],
    direction: Sequence[Tensor],
    *,
    at_least: float = 0.0,
) -> list[Tensor]:
    """d(values)/dw applied to `direction`, by moving the weights both ways.

    The weights are bit for bit the same afterwards, also when `values` fails: they are copied
    back, not moved back. A zero direction gives exact zeros.

    Args:
        at_least: length of the move in weight space where that is more than rounding asks for.
    """
    length = float(vector_norm(direction))
    if length == 0.0:
        return [torch.zeros_like(v) for v in values()]
    scale = max(SCALE_DOUBLE if weights[0].dtype == torch.float64 else SCALE, at_least)
    epsilon = scale / length
    start = [w.detach().clone() for w in weights]
    try:
        place(weights, [w + epsilon * d for w, d in zip(start, direction, strict=True)])
        ahead = values()
        place(weights, [w - epsilon * d for w, d in zip(start, direction, strict=True)])
        behind = values()
    finally:
        place(weights, start)
    return [(a - b) / (2 * epsilon) for a, b in zip(ahead, behind, strict=True)]

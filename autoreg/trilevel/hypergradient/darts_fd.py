"""The indirect part of an upper hypergradient through the last step of the weights, by a central difference.

    d F(w'(x), x)/dx = dF/dx  +  < a, d grad_w R(w, x) / dx >,    a = - eta P grad_w F(w')

The mixed product is the difference of grad_x R along a. Valid for one step of the weights; weights are bit for bit
the same afterwards, also when it fails. Reference: Liu et al., DARTS, arXiv:1806.09055, equations 6 to 8 (there P = 1).
"""

from torch import Tensor

from autoreg.trilevel.lower import Vector
from autoreg.trilevel.response import Level, Response


def darts_fd(response: Response, upper_gradient: Vector, level: Level) -> Tensor:
    """This worker's share of the indirect part."""
    answer, step = response.one_step(upper_gradient), response.steps[-1]
    return response.products(answer, step=step, level=level, curvature=False).of(level)

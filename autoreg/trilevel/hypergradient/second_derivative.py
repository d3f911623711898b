"""The indirect part through the last step of the weights, as `darts_fd`, by torch's second derivative: exact.

Valid where every operation of the network has a second derivative; torch has that of warping (`grid_sample`) from
2.13 on.
"""

from torch import Tensor

from autoreg.trilevel.lower import Vector
from autoreg.trilevel.response import Level, Response


def second_derivative(response: Response, upper_gradient: Vector, level: Level) -> Tensor:
    """This worker's share of the indirect part. Raises EstimatorError where torch has no second derivative."""
    answer, step = response.one_step(upper_gradient), response.steps[-1]
    return response.products(answer, step=step, level=level, curvature=False, exact=True).of(level)

"""An implicit hypergradient by a truncated Neumann series.

    H^-1 v = rho sum_j (I - rho H)^j v,    |I - rho H| < 1, that is 0 < H and rho < 2 / |H|

The rest after J terms is (I - rho H)^J v, known for free: its length is the residual. rho is 1 / |H|, with |H| by
power iteration. Valid near a lower optimum; refuses otherwise.
Reference: Lorraine et al., arXiv:1911.02590, section 4.
"""

from torch import Tensor

from autoreg.errors import NoMinimumError
from autoreg.trilevel.hypergradient.implicit import add, curvature, inner, mixed
from autoreg.trilevel.lower import Vector
from autoreg.trilevel.response import Level, Response

_POWER_STEPS = 12
_MARGIN = 1.1
"""Power iteration finds |H| from below."""


def neumann(response: Response, upper_gradient: Vector, level: Level) -> Tensor:
    """This worker's share of the indirect part.

    Raises:
        NoMinimumError: the residual is above `response.tolerance` after `response.horizon` terms, or grows.
    """
    size = inner(upper_gradient, upper_gradient) ** 0.5
    rest = upper_gradient
    total = [v * 0 for v in rest]
    if size > 0:
        rho = 1 / (_MARGIN * _largest_curvature(response, upper_gradient))
        residual = 1.0
        for terms in range(1, response.horizon + 1):
            total = add(total, rest, rho)
            rest = add(rest, curvature(response, rest), -rho)
            residual = inner(rest, rest) ** 0.5 / size
            if residual <= response.tolerance:
                break
            if residual > 2:
                raise NoMinimumError(
                    f"neumann: diverges (residual {residual:.2g} after {terms} terms): no lower minimum"
                )
        if residual > response.tolerance:
            raise NoMinimumError(
                f"neumann: expected a residual of at most {response.tolerance:g} after {response.horizon} terms, "
                f"got {residual:.2g}: not near a lower minimum, or the horizon is too short"
            )
    return mixed(response, [-t for t in total], level)


def _largest_curvature(response: Response, start: Vector) -> float:
    """|H| by power iteration."""
    vector, found = start, 0.0
    for _ in range(_POWER_STEPS):
        length = inner(vector, vector) ** 0.5
        if length == 0:
            break
        vector = curvature(response, [v / length for v in vector])
        found = max(found, inner(vector, vector) ** 0.5)
    if found == 0:
        raise NoMinimumError("neumann: the lower objective is flat here: no lower minimum")
    return found

"""An implicit hypergradient by conjugate gradients on H a = v.

Valid near a lower optimum, where H is positive definite; refuses on negative curvature and on a residual that
stays above the tolerance. Reference: Pedregosa, arXiv:1602.02355; Rajeswaran et al., arXiv:1909.04630.
"""

from torch import Tensor

from autoreg.errors import NoMinimumError
from autoreg.trilevel.hypergradient.implicit import add, curvature, inner, mixed
from autoreg.trilevel.lower import Vector
from autoreg.trilevel.response import Level, Response


def conjugate_gradient(response: Response, upper_gradient: Vector, level: Level) -> Tensor:
    """This worker's share of the indirect part.

    Raises:
        NoMinimumError: negative curvature, or a residual above `response.tolerance` after `response.horizon` products.
    """
    answer = [v * 0 for v in upper_gradient]
    residual = direction = upper_gradient
    size = now = inner(residual, residual)
    goal = response.tolerance**2 * size
    for products in range(response.horizon):
        if now <= goal:
            break
        bent = curvature(response, direction)
        along = inner(direction, bent)
        if along <= 0:
            raise NoMinimumError(
                f"conjugate_gradient: curvature {along:.2g} along direction {products}: expected a lower minimum"
            )
        answer = add(answer, direction, now / along)
        residual = add(residual, bent, -now / along)
        before, now = now, inner(residual, residual)
        direction = add(residual, direction, now / before)
    if now > goal:
        raise NoMinimumError(
            f"conjugate_gradient: expected a relative residual of at most {response.tolerance:g} after "
            f"{response.horizon} products, got {(now / size) ** 0.5:.2g}"
        )
    return mixed(response, [-a for a in answer], level)

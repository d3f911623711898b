"""What the implicit estimators share: at a lower optimum the weights answer by the inverse Hessian.

    dF(w*(x), x)/dx = dF/dx  +  < a, d grad_w R / dx >,    H a = - grad_w F

Implicit function theorem; valid where grad_w R is small and H is positive definite, that is near a lower optimum.
"""

from torch import Tensor

from autoreg.trilevel.lower import Vector
from autoreg.trilevel.response import Level, Response


def curvature(response: Response, direction: Vector) -> Vector:
    """H q at the present weights."""
    found = response.products(direction, step=None, level=None, curvature=True).weights
    assert found is not None
    return found


def mixed(response: Response, answer: Vector, level: Level) -> Tensor:
    """This worker's share of < a, d grad_w R / dx > at the present weights."""
    return response.products(answer, step=None, level=level, curvature=False).of(level)


def inner(a: Vector, b: Vector) -> float:
    """< a, b > in double precision."""
    return sum(float((x.double() * y.double()).sum()) for x, y in zip(a, b, strict=True))


def add(a: Vector, b: Vector, factor: float) -> Vector:
    """a + factor b."""
    return [x + factor * y for x, y in zip(a, b, strict=True)]

"""Derivatives of an upper objective through the lower solution: one signature, one file a way, chosen by name.

Each takes the lower level's `Response` and grad_w of the upper objective at the present weights, and gives this
worker's share of the indirect part of the hypergradient of `level`. An estimator that is not valid refuses with
EstimatorError.
"""

from collections.abc import Callable

from torch import Tensor

from autoreg.trilevel.hypergradient.conjugate_gradient import conjugate_gradient
from autoreg.trilevel.hypergradient.darts_fd import darts_fd
from autoreg.trilevel.hypergradient.dot_product import dot_product, dot_product_plain
from autoreg.trilevel.hypergradient.neumann import neumann
from autoreg.trilevel.hypergradient.second_derivative import second_derivative
from autoreg.trilevel.hypergradient.through_output import through_output
from autoreg.trilevel.hypergradient.unrolled import unrolled
from autoreg.trilevel.lower import Vector
from autoreg.trilevel.response import Level, Response

Estimator = Callable[[Response, Vector, Level], Tensor]

ESTIMATORS: dict[str, Estimator] = {
    "dot_product": dot_product,
    "dot_product_plain": dot_product_plain,
    "through_output": through_output,
    "darts_fd": darts_fd,
    "second_derivative": second_derivative,
    "unrolled": unrolled,
    "neumann": neumann,
    "conjugate_gradient": conjugate_gradient,
}
LOSS_WEIGHTS_ESTIMATORS = tuple(ESTIMATORS)
ONE_STEP = ("dot_product", "dot_product_plain", "through_output", "darts_fd", "second_derivative")
DIRECT = "direct"
"""For alpha: without the indirect part."""
BY_TERM = ("dot_product", "dot_product_plain")
"""Those that need the gradient of every term, and are for the loss weights only."""
BY_OUTPUT = ("through_output",)
"""Those that need every term's derivative with respect to the output, and are for the loss weights only."""
ALPHA_ESTIMATORS = (*(name for name in ESTIMATORS if name not in BY_TERM + BY_OUTPUT), DIRECT)

__all__ = [
    "ALPHA_ESTIMATORS",
    "BY_OUTPUT",
    "BY_TERM",
    "DIRECT",
    "ESTIMATORS",
    "LOSS_WEIGHTS_ESTIMATORS",
    "ONE_STEP",
    "Estimator",
]

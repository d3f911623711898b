"""Derivatives of an upper objective through the lower solution, one file an estimator."""

from autoreg.trilevel.hypergradient.darts_fd import mixed_product
from autoreg.trilevel.hypergradient.dot_product import dot_product

__all__ = ["dot_product", "mixed_product"]

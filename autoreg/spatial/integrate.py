"""Composition of displacements, and stationary velocity fields to displacements."""

import torch

from autoreg.shapes import Displacement, Velocity
from autoreg.spatial.warp import warp


def compose(outer: Displacement, inner: Displacement) -> Displacement:
    """Displacement of phi_outer o phi_inner, that is u(x) = u_inner(x) + u_outer(x + u_inner(x)).

    With a coarse `outer` found first and an `inner` found on the moving image already warped by
    `outer`, the result warps the moving image in one interpolation.
    """
    return inner + warp(outer, inner, padding="border")


def integrate(velocity: Velocity, *, steps: int = 7) -> Displacement:
    """exp(v) by scaling and squaring: v / 2^steps composed with itself `steps` times, in float32 at least.

    Reference: Arsigny et al. 2006, doi:10.1007/11866565_113, section 3. `steps` = 0 returns v.
    """
    displacement = velocity.to(torch.promote_types(velocity.dtype, torch.float32)) / 2**steps
    for _ in range(steps):
        displacement = compose(displacement, displacement)
    return displacement

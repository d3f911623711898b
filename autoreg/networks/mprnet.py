"""MPRNet, learning from optimisation: stages of feature, data-matching, regularisation and constraint modules.

It is the pyramid network with its own edges. Of a stage, from coarse to fine, the feature module is a level's feature
cell; data matching is the L1 cost with the deformation cell and its head; residual regularisation is `Refine`; the
constraint is the exponential. Reference: Liu et al., arXiv:2004.14557.
"""

from functools import partial

from torch import nn

from autoreg.networks.architecture import Architecture, Composition, Edge
from autoreg.networks.convolution import convolution
from autoreg.networks.primitives import SLOPE, keeping_scale
from autoreg.networks.registration import RegistrationNetwork

SQUARINGS = 7


def mprnet(
    dims: int, *, composition: Composition = "compose", integration_steps: int = SQUARINGS
) -> RegistrationNetwork:
    """The network of two stages as published, with fresh weights.

    Args:
        dims: 2 or 3.
        composition: `sum` is the published flow path: the finer stage adds the coarser displacement to its velocity and
            integrates the sum, which is no composition of both.
        integration_steps: of the constraint; 0 leaves it out, and velocities are taken for displacements.
    """
    architecture = Architecture(
        dims=dims,
        feature_channels=(16, 32),
        feature_edges=3,
        deformation_channels=(48, 32, 16),
        match="cost",
        refine=True,
        composition=composition,
        integration_steps=integration_steps,
    )
    return RegistrationNetwork(architecture, partial(_block, dims))


def _block(dims: int, edge: Edge) -> nn.Module:
    """Convolution with bias, LeakyReLU; kernel 4 where the grid halves, which centres its output on the half grid."""
    kernel = 4 if edge.stride == 2 else 3
    return keeping_scale(
        nn.Sequential(
            convolution(dims, edge.c_in, edge.c_out, kernel, stride=edge.stride), nn.LeakyReLU(SLOPE, inplace=True)
        )
    )

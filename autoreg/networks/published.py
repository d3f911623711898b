"""Genotypes that were published with AutoReg. Reference: Fan et al., arXiv:2203.06810, and its code.

Both have the feature cells found on PPMI, which the search on ABIDE kept. Their last two edges have dilation 8, outside
the list of eight primitives that the paper searches.
"""

from autoreg.networks.architecture import Architecture
from autoreg.networks.genotype import Genotype

FEATURES_PPMI = {1: ("conv3", "sep5", "conv5"), 2: ("sep5", "dil3x8", "dil3x8")}
DEFORMATION_PPMI = {1: ("sep3", "conv5", "conv3"), 2: ("dil7", "dil7", "sep5")}
DEFORMATION_ABIDE = {1: ("sep3", "dil3", "sep5"), 2: ("sep3", "dil3", "sep3")}
"""Level (1 = half grid) -> the primitive of each edge."""


def autoreg_ppmi(dims: int) -> Genotype:
    """Found on PPMI."""
    return _genotype(dims, DEFORMATION_PPMI)


def autoreg_abide(dims: int) -> Genotype:
    """Found on ABIDE."""
    return _genotype(dims, DEFORMATION_ABIDE)


def _genotype(dims: int, deformation: dict[int, tuple[str, ...]]) -> Genotype:
    cells = {"feature": FEATURES_PPMI, "deformation": deformation}
    edges = {
        f"{cell}.{level}.{number}": primitive
        for cell, by_level in cells.items()
        for level, chosen in by_level.items()
        for number, primitive in enumerate(chosen)
    }
    return Genotype(Architecture(dims=dims), edges)  # the defaults are the paper's cells

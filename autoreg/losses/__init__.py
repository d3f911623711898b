"""Differentiable terms: similarity of images, smoothness of displacements, overlap of labels."""

from autoreg.losses.overlap import one_hot, soft_dice_loss
from autoreg.losses.registry import register_similarity, register_smoothness
from autoreg.losses.similarity import SIMILARITIES, lncc, mi, mind, mse
from autoreg.losses.smoothness import SMOOTHNESS, bending, diffusion, folding, log_jacobian_spread

__all__ = [
    "SIMILARITIES",
    "SMOOTHNESS",
    "bending",
    "diffusion",
    "folding",
    "lncc",
    "log_jacobian_spread",
    "mi",
    "mind",
    "mse",
    "one_hot",
    "register_similarity",
    "register_smoothness",
    "soft_dice_loss",
]

"""Numbers for people: overlap, surface distance, landmark error, folding. No gradients."""

from autoreg.metrics.folding import folded_voxels, folds_percent, folds_percent_central, sdlogj, sdlogj_learn2reg
from autoreg.metrics.landmarks import tre_mm
from autoreg.metrics.overlap import dice
from autoreg.metrics.surface import hd95_mm

__all__ = [
    "dice",
    "folded_voxels",
    "folds_percent",
    "folds_percent_central",
    "hd95_mm",
    "sdlogj",
    "sdlogj_learn2reg",
    "tre_mm",
]

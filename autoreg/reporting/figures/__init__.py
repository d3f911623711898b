"""Figures of runs. Each function returns a matplotlib `Figure`; nothing touches pyplot's global state.

A figure is about as wide as a telephone's screen, so that its words stay legible there; pages put several side by side.
Colours are the Okabe-Ito set, viridis and PuOr, readable without red-green vision.
"""

from autoreg.reporting.figures.alpha import alpha_axes, alpha_heatmap, alpha_over_time
from autoreg.reporting.figures.architecture import architecture_graph, describe_architecture
from autoreg.reporting.figures.boxes import dice_boxes, label_boxes
from autoreg.reporting.figures.cost import cost_by_trials, cost_unit, front_figure, quality_against_cost
from autoreg.reporting.figures.course import lambda_paths, training_curve
from autoreg.reporting.figures.pair import deformation_grid, overlay
from autoreg.reporting.figures.style import png_bytes, save_png

__all__ = [
    "alpha_axes",
    "alpha_heatmap",
    "alpha_over_time",
    "architecture_graph",
    "cost_by_trials",
    "cost_unit",
    "deformation_grid",
    "describe_architecture",
    "dice_boxes",
    "front_figure",
    "label_boxes",
    "lambda_paths",
    "overlay",
    "png_bytes",
    "quality_against_cost",
    "save_png",
    "training_curve",
]

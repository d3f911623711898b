"""What moved over the rounds of a run: objectives, loss weights, Dice."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoreg.reporting.figures.history import draw_column, has, shade_warm_up
from autoreg.reporting.figures.style import COLOURS, WIDTH, legend_below, line_styles, new_figure, plain

_OBJECTIVES = {
    "train_objective": "weights (training pairs)",
    "architecture_objective": "architecture",
    "loss_weights_objective": "loss weights",
}


def lambda_paths(history: pd.DataFrame) -> Figure:
    """Loss weights over rounds, one line a term, with the validation Dice below when it was measured."""
    names = [str(name) for name in history if str(name).startswith("lambda.")]
    with_dice = _has_dice(history)
    figure = new_figure(WIDTH, 4.8 if with_dice else 3.4)
    panels = np.atleast_1d(figure.subplots(1 + with_dice, 1, sharex=True, height_ratios=[2, 1][: 1 + with_dice]))
    shade_warm_up(panels[0], history)
    for name, (colour, line) in zip(names, line_styles(), strict=False):
        label = name.removeprefix("lambda.")
        draw_column(panels[0], history, name, color=colour, linestyle=line, label=label)
    if names and (history[names] > 0).all(axis=None):
        panels[0].set_yscale("log")
    plain(panels[0], "Loss weights", y="lambda (no unit)", x="" if with_dice else "round")
    legend_below(figure, panels[0], columns=3)
    if with_dice:
        _dice_panel(panels[1], history)
    return figure


def training_curve(history: pd.DataFrame) -> Figure:
    """The objective of each level over rounds, and the validation Dice when it was measured."""
    with_dice = _has_dice(history)
    drawn = {column: name for column, name in _OBJECTIVES.items() if has(history, column)}
    count = max(len(drawn), 1) + with_dice
    figure = new_figure(WIDTH, 0.9 + 1.4 * count)
    panels = np.atleast_1d(figure.subplots(count, 1, sharex=True))
    for panel, (column, name), colour in zip(panels, drawn.items(), COLOURS, strict=False):
        shade_warm_up(panel, history)
        draw_column(panel, history, column, color=colour)
        plain(panel, f"Objective: {name}", y="objective")
    if with_dice:
        _dice_panel(panels[-1], history)
    panels[-1].set_xlabel("round", fontsize=9)
    legend_below(figure, panels[0], columns=1)
    return figure


def _has_dice(history: pd.DataFrame) -> bool:
    return has(history, "val_dice") or has(history, "soft_dice")


def _dice_panel(axes: Axes, history: pd.DataFrame) -> None:
    shade_warm_up(axes, history)
    soft = not has(history, "val_dice")  # what a search sees, on the pairs of the loss weights
    column, title = ("soft_dice", "Soft Dice of held pairs") if soft else ("val_dice", "Validation Dice")
    draw_column(axes, history, column, color=COLOURS[2], label="validation", marker="o")
    plain(axes, title, x="round", y="Dice (0 to 1)")

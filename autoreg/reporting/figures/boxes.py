"""Dice as boxes: by system, and by label."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from autoreg.reporting.figures.style import COLOURS, WIDTH, new_figure, plain

_INK = {"color": "#333333"}
_NAME = 22  # letters in a line


def dice_boxes(pairs: pd.DataFrame) -> Figure:
    """Dice of test pairs by system: median, quartiles, and every pair as a dot.

    Args:
        pairs: a row a pair: system, dice. Systems are drawn in order of appearance, the first on top.
    """
    groups = {str(name): frame["dice"].dropna() for name, frame in pairs.groupby("system", sort=False)}
    figure = new_figure(WIDTH, 1.4 + 0.5 * len(groups))
    axes = figure.subplots()
    rows = range(len(groups), 0, -1)
    # A fixed seed: the same numbers give the same picture.
    jitter = np.random.default_rng(0)
    _draw_boxes(axes, list(groups.values()), list(rows), colours=COLOURS[:6], width=0.55)
    for row, values, colour in zip(rows, groups.values(), cycle(COLOURS[:6]), strict=False):
        heights = row + jitter.uniform(-0.18, 0.18, len(values))
        axes.plot(values, heights, "o", color=colour, markersize=3.5, markeredgewidth=0, alpha=0.8)
    plain(axes, "Dice of the test pairs", x="Dice, mean over labels (0 to 1)")
    axes.set_yticks(list(rows), [fill(name, _NAME) for name in groups])
    axes.set_ylim(0.4, len(groups) + 0.6)
    return figure


def label_boxes(pairs: pd.DataFrame, names: Mapping[int, str] | None = None) -> Figure:
    """Dice by label, a box a system: median, quartiles, whiskers to the last pair within 1.5 of their distance.

    Args:
        pairs: a row a pair, label and system: system, label, dice.
        names: of the labels; their numbers if not given.
    """
    systems, labels = list(dict.fromkeys(pairs["system"])), sorted(pairs["label"].unique())
    step = 0.8 / len(systems)
    figure = new_figure(WIDTH, 1.3 + len(labels) * max(0.26, 0.17 * len(systems)) + 0.2 * -(-len(systems) // 2))
    axes = figure.subplots()
    for number, (system, colour) in enumerate(zip(systems, cycle(COLOURS), strict=False)):
        of_system = pairs[pairs["system"] == system]
        values = [of_system.loc[of_system["label"] == label, "dice"].dropna() for label in labels]
        rows = [len(labels) - i + 0.4 - step * (number + 0.5) for i in range(len(labels))]
        _draw_boxes(axes, values, rows, colours=[colour], width=0.8 * step)
    plain(axes, "Dice by label", x="Dice (0 to 1)")
    shown = [(names or {}).get(int(label), str(label)) for label in labels]
    axes.set_yticks(range(len(labels), 0, -1), [fill(name, _NAME) for name in shown])
    axes.set_ylim(0.4, len(labels) + 0.6)
    axes.grid(visible=False, axis="y")
    handles = [Patch(facecolor=c, alpha=0.6, label=s) for s, c in zip(systems, cycle(COLOURS), strict=False)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def _draw_boxes(
    axes: Axes, values: Sequence[Any], rows: Sequence[float], *, colours: Sequence[str], width: float
) -> None:
    boxes = axes.boxplot(
        list(values), positions=list(rows), orientation="horizontal", widths=width, showfliers=False,
        patch_artist=True, medianprops={"color": "black", "linewidth": 1.6}, whiskerprops=_INK, capprops=_INK,
        manage_ticks=False,
    )  # fmt: skip
    for box, colour in zip(boxes["boxes"], cycle(colours), strict=False):
        box.set(facecolor=colour, alpha=0.45)

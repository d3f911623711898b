"""Quality against what it cost."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoreg.reporting.figures.style import COLOURS, WIDTH, legend_below, new_figure, plain


def cost_unit(seconds: float) -> tuple[float, str]:
    """Factor and name of a unit in which `seconds` of device time read well."""
    if seconds >= 3600:
        return 1 / 3600, "device-hours"
    return (1 / 60, "device-minutes") if seconds >= 120 else (1.0, "device-seconds")


def quality_against_cost(curves: Mapping[str, pd.DataFrame], points: pd.DataFrame) -> Figure:
    """Quality against device time: manual tuning as curves, single systems as points.

    Args:
        curves: name to a frame with device_seconds, mean, low, high (see `best_of_n`).
        points: a row a system: system, device_seconds, value.
    """
    seconds = [*points["device_seconds"], *(s for curve in curves.values() for s in curve["device_seconds"])]
    factor, unit = cost_unit(max(seconds, default=0.0))
    figure = new_figure(WIDTH, 3.6 + 0.2 * (2 * len(curves) + len(points)))
    axes = figure.subplots()
    for (name, curve), colour in zip(curves.items(), cycle(COLOURS[1:]), strict=False):
        x = curve["device_seconds"] * factor
        label = f"{name}: expected best of n trials"
        axes.plot(x, curve["mean"], color=colour, marker="o", markersize=3.5, linewidth=1.8, label=label)
        axes.fill_between(x, curve["low"], curve["high"], color=colour, alpha=0.15, lw=0, label="95 % of trial orders")
    markers, colours = cycle("sD^vPX*"), cycle((COLOURS[0], *COLOURS[2:]))
    for row, marker, colour in zip(points.to_dict("records"), markers, colours, strict=False):
        x = row["device_seconds"] * factor
        axes.plot([x], [row["value"]], marker=marker, color=colour, markersize=10, linestyle="", label=row["system"])
    axes.set_xlim(left=0)
    plain(axes, "Quality against cost", x=f"{unit} (search, trials and training)", y="validation Dice (0 to 1)")
    legend_below(figure, axes, columns=1)
    return figure


def cost_by_trials(manual: Mapping[str, pd.DataFrame], automatic: pd.DataFrame) -> Figure:
    """Cost and Dice of n trials by hand and a training (lines), and of search and training (dashed), by task.

    Args:
        manual: task to a frame with n, total_device_seconds, dice.
        automatic: a row a task: task, total_device_seconds, dice.
    """
    seconds = [
        *automatic["total_device_seconds"],
        *(s for rows in manual.values() for s in rows["total_device_seconds"]),
    ]
    factor, unit = cost_unit(max(seconds, default=0.0))
    figure = new_figure(WIDTH, 5.6 + 0.2 * len(manual))
    panels = figure.subplots(2, 1)
    for axes, column, scale, title, y in zip(
        panels, ("total_device_seconds", "dice"), (factor, 1.0), ("Cost", "Quality"),
        (unit, "test Dice (0 to 1)"), strict=True,
    ):  # fmt: skip
        for (task, rows), colour in zip(manual.items(), cycle(COLOURS), strict=False):
            style = {"color": colour, "linewidth": 1.8}
            axes.plot(rows["n"], rows[column] * scale, marker="o", markersize=3.5, label=f"{task}: by hand", **style)
            for value in automatic.loc[automatic["task"] == task, column].dropna():
                axes.axhline(value * scale, linestyle="--", label=f"{task}: AutoReg", **style)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        plain(axes, title, x="trials by hand before the training", y=y)
    legend_below(figure, panels[0], columns=2)
    return figure


def front_figure(table: pd.DataFrame) -> Figure:
    """Dice against folds of the candidates of a front; what nothing beats is filled. Numbers are named below.

    Columns: candidate, dice, folds_percent, seconds_a_pair (grows the mark), on_front.
    """
    table = table.dropna(subset=["dice", "folds_percent"])
    figure = new_figure(WIDTH, 3.8 + 0.19 * len(table))
    axes = figure.subplots()
    sizes = 40 + 160 * table["seconds_a_pair"] / max(float(table["seconds_a_pair"].max()), 1e-9)
    for kept, label, face in ((True, "on the front", COLOURS[0]), (False, "beaten by another", "none")):
        rows = table["on_front"] == kept
        x, y = table.loc[rows, "folds_percent"], table.loc[rows, "dice"]
        axes.scatter(x, y, s=sizes[rows], label=label, facecolors=face, edgecolors=COLOURS[0 if kept else 1])
    for number, (place, candidates) in enumerate(table.groupby(["folds_percent", "dice"])["candidate"], start=1):
        axes.annotate(str(number), place, xytext=(7, 5), textcoords="offset points", fontsize=8)  # type: ignore[arg-type]
        axes.plot([], [], linestyle="", label=f"{number}: {', '.join(map(str, candidates))}")
    axes.set_xscale("symlog", linthresh=1e-3)
    axes.margins(0.12)
    plain(axes, "Dice against folds (larger marks are slower)", x="folded voxels, percent", y="Dice (0 to 1)")
    legend_below(figure, axes, columns=1)
    return figure

"""Figures of runs. Each function returns a matplotlib `Figure`; nothing touches pyplot's global state.

Colours are the Okabe-Ito set and viridis/cividis, readable without red-green vision.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoreg.spatial import jacobian_determinant

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", ":", "-.")
_FOLD = "#D40078"
_DPI = 110


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _plain(axes: Axes, title: str, *, x: str = "", y: str = "") -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(axes: Axes, **place: Any) -> None:
    if axes.get_legend_handles_labels()[0]:  # matplotlib warns of a legend without entries
        axes.legend(frameon=False, fontsize=8, **place)


def _measured(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rounds in which `column` has a value; none when the column is missing."""
    return history.dropna(subset=[column]) if column in history else history.iloc[:0]


def _shade_warm_up(axes: Axes, history: pd.DataFrame) -> None:
    if "phase" in history and (history["phase"] == "warm-up").any():
        rounds = history.loc[history["phase"] == "warm-up", "round"]
        axes.axvspan(rounds.min() - 0.5, rounds.max() + 0.5, color="#999999", alpha=0.15, lw=0, label="warm-up")


def _draw_column(axes: Axes, history: pd.DataFrame, column: str, **style: Any) -> None:
    rows = _measured(history, column)
    if len(rows):
        style = {"marker": "o" if len(rows) <= 25 else None, "markersize": 3, "linewidth": 1.6} | style
        axes.plot(rows["round"], rows[column], **style)


def _dice_panel(axes: Axes, history: pd.DataFrame) -> None:
    _shade_warm_up(axes, history)
    soft = not _has(history, "val_dice")  # what a search sees, on the pairs of the loss weights
    column, title = ("soft_dice", "Soft Dice of held pairs") if soft else ("val_dice", "Validation Dice")
    _draw_column(axes, history, column, color=COLOURS[2], label="validation", marker="o")
    _plain(axes, title, x="round", y="Dice (0 to 1)")


def _has(history: pd.DataFrame, column: str) -> bool:
    return len(_measured(history, column)) > 0


def alpha_axes(history: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Edges and primitives of the columns `alpha.<edge>.<primitive>`, in order of appearance.

    Structural choices and their options, where there are, come after them.
    """
    names = [name.removeprefix("alpha.").rpartition(".") for name in history if str(name).startswith("alpha.")]
    return list(dict.fromkeys(edge for edge, _, _ in names)), list(dict.fromkeys(p for _, _, p in names))


def alpha_heatmap(history: pd.DataFrame, edges: Sequence[str], primitives: Sequence[str]) -> Figure:
    """Final probability of each primitive on each edge, and the entropy over rounds.

    Args:
        history: a row a round with `round`, `alpha.<edge>.<primitive>` and `alpha_entropy` (mean, nats).
        edges: rows of the map. A primitive that an edge does not offer stays blank.
        primitives: columns of the map.
    """
    final = history.iloc[-1]
    values = np.array([[float(final.get(f"alpha.{e}.{p}", np.nan)) for p in primitives] for e in edges])
    figure = _figure(3.4 + 0.55 * len(primitives) + 4.0, max(3.2, 1.8 + 0.3 * len(edges)))
    left, right = figure.subplots(1, 2, width_ratios=[2 + 0.55 * len(primitives), 4.0])
    image = left.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    left.set_xticks(range(len(primitives)), primitives, rotation=45, ha="right", fontsize=8)
    left.set_yticks(range(len(edges)), edges, fontsize=8)
    for row, column in zip(*np.nonzero(values == np.nanmax(values, axis=1, keepdims=True)), strict=True):
        shade = "black" if values[row, column] > 0.6 else "white"
        left.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", color=shade, fontsize=8)
    left.set_title(f"Architecture after round {int(final['round'])}", loc="left", fontsize=11, fontweight="bold")
    left.set_xlabel("primitive")
    left.set_ylabel("edge")
    figure.colorbar(image, ax=left, label="probability (number: the choice)", shrink=0.9)
    _shade_warm_up(right, history)
    _draw_column(right, history, "alpha_entropy", color=COLOURS[0], label="mean over edges")
    options = (~np.isnan(values)).sum(axis=1)
    right.axhline(np.log(options).mean(), color="#555555", linestyle="--", linewidth=1, label="undecided")
    right.set_ylim(bottom=0)
    _plain(right, "Entropy of the architecture", x="round", y="entropy (nats)")
    _legend(right, loc="lower left")
    return figure


def lambda_paths(history: pd.DataFrame) -> Figure:
    """Loss weights over rounds, one line a term, with the validation Dice below when it was measured."""
    names = [str(name) for name in history if str(name).startswith("lambda.")]
    with_dice = _has(history, "val_dice") or _has(history, "soft_dice")
    figure = _figure(8.0, 5.6 if with_dice else 3.6)
    panels = np.atleast_1d(figure.subplots(1 + with_dice, 1, sharex=True, height_ratios=[2, 1][: 1 + with_dice]))
    _shade_warm_up(panels[0], history)
    styles = [(colour, line) for line in _LINES for colour in COLOURS]
    for name, (colour, line) in zip(names, cycle(styles), strict=False):
        label = name.removeprefix("lambda.")
        _draw_column(panels[0], history, name, color=colour, linestyle=line, label=label)
    if names and (history[names] > 0).all(axis=None):
        panels[0].set_yscale("log")
    _plain(panels[0], "Loss weights", y="lambda (no unit)", x="" if with_dice else "round")
    _legend(panels[0], loc="center left", bbox_to_anchor=(1.0, 0.5))
    if with_dice:
        _dice_panel(panels[1], history)
    return figure


_OBJECTIVES = {
    "train_objective": "weights (training pairs)",
    "architecture_objective": "architecture",
    "loss_weights_objective": "loss weights",
}


def training_curve(history: pd.DataFrame) -> Figure:
    """The objective of each level over rounds, and the validation Dice when it was measured."""
    with_dice = _has(history, "val_dice") or _has(history, "soft_dice")
    drawn = {column: name for column, name in _OBJECTIVES.items() if _has(history, column)}
    count = max(len(drawn), 1) + with_dice
    figure = _figure(8.0, 1.2 + 1.9 * count)
    panels = np.atleast_1d(figure.subplots(count, 1, sharex=True))
    for panel, (column, name), colour in zip(panels, drawn.items(), COLOURS, strict=False):
        _shade_warm_up(panel, history)
        _draw_column(panel, history, column, color=colour)
        _plain(panel, f"Objective: {name}", y="objective")
    if with_dice:
        _dice_panel(panels[-1], history)
    panels[-1].set_xlabel("round")
    _legend(panels[0], loc="upper right")
    return figure


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
    figure = _figure(8.0, 4.6)
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
    _plain(axes, "Quality against cost", x=f"{unit} (search, trials and training)", y="validation Dice (0 to 1)")
    _legend(axes, loc="lower right")
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
    figure = _figure(9.0, 4.2)
    for axes, column, scale, title, y in zip(
        figure.subplots(1, 2), ("total_device_seconds", "dice"), (factor, 1.0), ("Cost", "Quality"),
        (unit, "test Dice (0 to 1)"), strict=True,
    ):  # fmt: skip
        for (task, rows), colour in zip(manual.items(), cycle(COLOURS), strict=False):
            style = {"color": colour, "linewidth": 1.8}
            axes.plot(rows["n"], rows[column] * scale, marker="o", markersize=3.5, label=f"{task}: by hand", **style)
            for value in automatic.loc[automatic["task"] == task, column].dropna():
                axes.axhline(value * scale, linestyle="--", label=f"{task}: AutoReg", **style)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _plain(axes, title, x="trials by hand before the training", y=y)
        _legend(axes, loc="best")
    return figure


def front_figure(table: pd.DataFrame) -> Figure:
    """Dice against folds of the candidates of a front; what nothing beats is filled and named.

    Columns: candidate, dice, folds_percent, seconds_a_pair (grows the mark), on_front.
    """
    figure = _figure(7.0, 4.2)
    axes = figure.subplots()
    table = table.dropna(subset=["dice", "folds_percent"])
    sizes = 40 + 160 * table["seconds_a_pair"] / max(float(table["seconds_a_pair"].max()), 1e-9)
    for kept, label, face in ((True, "on the front", COLOURS[0]), (False, "beaten by another", "none")):
        rows = table["on_front"] == kept
        x, y = table.loc[rows, "folds_percent"], table.loc[rows, "dice"]
        axes.scatter(x, y, s=sizes[rows], label=label, facecolors=face, edgecolors=COLOURS[0 if kept else 1])
    for _, row in table.iterrows():
        place = (float(row["folds_percent"]), float(row["dice"]))
        axes.annotate(str(row["candidate"]), place, xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.set_xscale("symlog", linthresh=1e-3)
    _plain(axes, "Dice against folds (larger marks are slower)", x="folded voxels, percent", y="Dice (0 to 1)")
    _legend(axes, loc="best")
    return figure


def dice_boxes(pairs: pd.DataFrame) -> Figure:
    """Dice of test pairs by system: median, quartiles, and every pair as a dot.

    Args:
        pairs: a row a pair: system, dice. Systems are drawn in order of appearance, the first on top.
    """
    groups = {str(name): frame["dice"].dropna() for name, frame in pairs.groupby("system", sort=False)}
    figure = _figure(8.0, 1.5 + 0.55 * len(groups))
    axes = figure.subplots()
    rows = range(len(groups), 0, -1)
    ink = {"color": "#333333"}
    boxes = axes.boxplot(
        list(groups.values()), positions=list(rows), orientation="horizontal", widths=0.55, showfliers=False,
        patch_artist=True, medianprops={"color": "black", "linewidth": 2}, whiskerprops=ink, capprops=ink,
    )  # fmt: skip
    # A fixed seed: the same numbers give the same picture.
    jitter = np.random.default_rng(0)
    for row, values, box, colour in zip(rows, groups.values(), boxes["boxes"], cycle(COLOURS[:6]), strict=False):
        box.set(facecolor=colour, alpha=0.35)
        heights = row + jitter.uniform(-0.18, 0.18, len(values))
        axes.plot(values, heights, "o", color=colour, markersize=3.5, markeredgewidth=0, alpha=0.8)
    axes.set_yticks(list(rows), list(groups))
    _plain(axes, "Dice of the test pairs", x="Dice, mean over labels (0 to 1)")
    axes.set_ylim(0.4, len(groups) + 0.6)
    return figure


def deformation_grid(displacement: np.ndarray) -> Figure:
    """Lines of the fixed grid carried by x + u(x), on the middle slices.

    Args:
        displacement: (d, *s), voxels, components in axis order.
    """
    planes = _planes(displacement.shape[1:])
    figure = _figure(3.6 * len(planes), 3.9)
    for axes, plane in zip(np.atleast_1d(figure.subplots(1, len(planes))), planes, strict=True):
        _draw_grid(axes, displacement, plane)
        axes.set_title(_plane_name(plane) or "Deformation grid", fontsize=9)
    return figure


_Plane = tuple[int, int] | None
"""(axis, index) of a slice of a volume; None is all of a 2-D image."""


def _planes(shape: Sequence[int]) -> list[_Plane]:
    return [None] if len(shape) == 2 else [(axis, n // 2) for axis, n in enumerate(shape)]


def _plane_name(plane: _Plane) -> str:
    return "" if plane is None else f"axis {plane[0]}, slice {plane[1]}"


def _slice(volume: np.ndarray, plane: _Plane) -> np.ndarray:
    return volume if plane is None else np.take(volume, plane[1], axis=plane[0])


def _in_plane(displacement: np.ndarray, plane: _Plane) -> np.ndarray:
    """The two components of a displacement that lie in a slice, (2, rows, columns)."""
    kept = [axis for axis in range(len(displacement)) if plane is None or axis != plane[0]]
    return np.stack([_slice(displacement[axis], plane) for axis in kept])


def _bare(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_slice(axes: Axes, values: np.ndarray, **style: Any) -> Any:
    # First axis to the right, second upwards: right-anterior-superior volumes stand upright.
    _bare(axes)
    return axes.imshow(values.T, origin="lower", interpolation="nearest", **style)


def _draw_contours(axes: Axes, labels: np.ndarray | None, plane: _Plane) -> None:
    if labels is None:
        return
    values = _slice(labels, plane)
    for label, colour in zip(np.unique(labels[labels > 0]), cycle(COLOURS[:6]), strict=False):
        if (values == label).any() and (values != label).any():
            axes.contour((values == label).T.astype(float), levels=[0.5], colors=[colour], linewidths=0.9)


def _draw_grid(axes: Axes, displacement: np.ndarray, plane: _Plane) -> None:
    u = _in_plane(displacement, plane)
    rows, columns = u.shape[1:]
    x, y = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij") + u
    every = max(1, round(min(rows, columns) / 24))
    style = {"color": COLOURS[0], "linewidth": 0.7}
    axes.plot(x[:, ::every], y[:, ::every], **style)
    axes.plot(x[::every].T, y[::every].T, **style)
    _bare(axes)
    axes.set_xlim(-0.5, rows - 0.5)
    axes.set_ylim(-0.5, columns - 0.5)


def _checkerboard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    size = max(2, min(first.shape) // 6)
    parity = sum(index // size for index in np.indices(first.shape)) % 2
    return np.where(parity == 0, first, second)


def overlay(
    fixed: np.ndarray,
    moving: np.ndarray,
    warped: np.ndarray,
    displacement: np.ndarray,
    *,
    labels: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """One registered pair: images, checkerboard, differences, deformation grid, Jacobian with folds marked.

    A volume is shown by its three middle slices, one row a picture; a 2-D image in two rows of four.

    Args:
        fixed: intensities, (*s); `moving` and `warped` likewise, on the same grid.
        displacement: (d, *s), voxels, components in axis order.
        labels: label maps named "fixed", "moving" or "warped", drawn as contours on that image.
    """
    images = {"fixed": fixed, "moving": moving, "warped": warped}
    determinant = _padded_determinant(displacement)
    planes = _planes(fixed.shape)
    figure, panels = _overlay_panels(planes)
    top = float(max(image.max() for image in images.values())) or 1.0
    gap = float(max(np.abs(fixed - moving).max(), np.abs(fixed - warped).max())) or 1.0
    for column, plane in enumerate(planes):
        axes = panels[:, column]
        for ax, (name, image) in zip(axes, images.items(), strict=False):
            _draw_slice(ax, _slice(image, plane), cmap="gray", vmin=0, vmax=top)
            _draw_contours(ax, (labels or {}).get(name), plane)
        board = _checkerboard(_slice(fixed, plane), _slice(warped, plane))
        _draw_slice(axes[3], board, cmap="gray", vmin=0, vmax=top)
        for ax, other in ((axes[4], moving), (axes[5], warped)):
            picture = _draw_slice(ax, _slice(fixed - other, plane), cmap="PuOr", vmin=-gap, vmax=gap)
        _draw_grid(axes[6], displacement, plane)
        jacobian = _draw_slice(axes[7], _slice(determinant, plane), cmap=_jacobian_colours(), norm=_jacobian_norm())
    folds = 100 * float(np.mean(determinant[np.isfinite(determinant)] <= 0))
    names = ["fixed", "moving", "warped", "fixed / warped\ncheckerboard", "fixed - moving", "fixed - warped",
             "deformation grid", f"Jacobian\n(pink: folds, {folds:.2g} %)"]  # fmt: skip
    _name_panels(panels, names, planes)
    figure.colorbar(picture, cax=_bar_axes(panels[5, -1]), label="difference")
    figure.colorbar(jacobian, cax=_bar_axes(panels[7, -1]), label="det (1: same volume)", extend="min")
    return figure


def _bar_axes(axes: Axes) -> Axes:
    """Room for a colour bar beside `axes` that leaves the columns of panels aligned."""
    return axes.inset_axes((1.04, 0.0, 0.05, 1.0))


def _overlay_panels(planes: list[_Plane]) -> tuple[Figure, np.ndarray]:
    """Axes as (8 pictures, planes)."""
    if len(planes) == 1:
        figure = _figure(12.0, 6.2)
        return figure, np.asarray(figure.subplots(2, 4)).reshape(8, 1)
    figure = _figure(8.2, 19.0)
    return figure, np.asarray(figure.subplots(8, len(planes)))


def _name_panels(panels: np.ndarray, names: Sequence[str], planes: list[_Plane]) -> None:
    for row, name in zip(panels, names, strict=True):
        if len(planes) == 1:
            row[0].set_title(name.replace("\n", " "), fontsize=9)
        else:
            row[0].set_ylabel(name, fontsize=10)
    if len(planes) > 1:
        for ax, plane in zip(panels[0], planes, strict=True):
            ax.set_title(_plane_name(plane), fontsize=10)


def _padded_determinant(displacement: np.ndarray) -> np.ndarray:
    """det of x + u(x) on the full grid; NaN at the border, where it is not known."""
    field = torch.from_numpy(np.ascontiguousarray(displacement, dtype=np.float32)).unsqueeze(0)
    inner = jacobian_determinant(field)[0].numpy()
    return np.pad(inner, 1, constant_values=np.nan)


def _jacobian_colours() -> Colormap:
    colours = LinearSegmentedColormap.from_list("jacobian", ["#2D004B", "#F7F7F7", "#7F3B08"])
    return colours.with_extremes(under=_FOLD, bad="white")


def _jacobian_norm() -> TwoSlopeNorm:
    return TwoSlopeNorm(vmin=float(np.finfo(np.float32).tiny), vcenter=1.0, vmax=3.0)

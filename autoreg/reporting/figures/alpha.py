"""The architecture while it is searched: probabilities of primitives."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoreg.reporting.figures.history import draw_column, shade_warm_up
from autoreg.reporting.figures.style import COLOURS, WIDTH, legend_below, line_styles, new_figure, plain

_TWO_COLUMNS = 12  # edges; more get three


def alpha_axes(history: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Edges and primitives of the columns `alpha.<edge>.<primitive>`, in order of appearance.

    Structural choices and their options, where there are, come after them.
    """
    names = [name.removeprefix("alpha.").rpartition(".") for name in history if str(name).startswith("alpha.")]
    return list(dict.fromkeys(edge for edge, _, _ in names)), list(dict.fromkeys(p for _, _, p in names))


def alpha_over_time(history: pd.DataFrame, edges: Sequence[str], primitives: Sequence[str]) -> Figure:
    """Probability of each primitive over rounds, a panel an edge; arguments as `alpha_heatmap`."""
    columns = 2 if len(edges) <= _TWO_COLUMNS else 3
    rows = -(-len(edges) // columns)
    figure = new_figure(WIDTH, 0.9 + 1.15 * rows)
    panels: list[Axes] = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    for axes, edge in zip(panels, edges, strict=False):
        shade_warm_up(axes, history)
        for primitive, (colour, line) in zip(primitives, line_styles(), strict=False):
            column = f"alpha.{edge}.{primitive}"
            draw_column(axes, history, column, color=colour, linestyle=line, label=primitive, marker=None)
        plain(axes, "")
        axes.set_title(edge, loc="left", fontsize=8)
        axes.set_ylim(0, 1)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axes in panels[len(edges) :]:
        axes.set_axis_off()
    figure.supxlabel("round", fontsize=9)
    figure.supylabel("probability", fontsize=9)
    _legend_of_all(figure, panels[: len(edges)])
    return figure


def _legend_of_all(figure: Figure, panels: Sequence[Axes]) -> None:
    """Names of all panels, each once: edges and structural choices offer different options."""
    named = {name: handle for axes in panels for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside upper center", ncols=4, frameon=False, fontsize=8)


def alpha_heatmap(history: pd.DataFrame, edges: Sequence[str], primitives: Sequence[str]) -> Figure:
    """Final probability of each primitive on each edge, and the entropy over rounds.

    Args:
        history: a row a round with `round`, `alpha.<edge>.<primitive>` and `alpha_entropy` (mean, nats).
        edges: rows of the map. A primitive that an edge does not offer stays blank.
        primitives: columns of the map.
    """
    final = history.iloc[-1]
    values = np.array([[float(final.get(f"alpha.{e}.{p}", np.nan)) for p in primitives] for e in edges])
    rows = 0.6 + 0.27 * len(edges)
    figure = new_figure(max(WIDTH, 2.2 + 0.42 * len(primitives)), 2.9 + rows)
    top, bottom = figure.subplots(2, 1, height_ratios=[rows, 1.4])
    image = top.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    top.set_xticks(range(len(primitives)), primitives, rotation=45, ha="right", fontsize=8)
    top.set_yticks(range(len(edges)), edges, fontsize=8)
    for row, column in zip(*np.nonzero(values == np.nanmax(values, axis=1, keepdims=True)), strict=True):
        shade = "black" if values[row, column] > 0.6 else "white"
        top.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", color=shade, fontsize=8)
    top.set_title(f"Architecture after round {int(final['round'])}", loc="left", fontsize=10, fontweight="bold")
    bar = figure.colorbar(image, ax=top, shrink=0.9)
    bar.set_label("probability (number: the choice)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    shade_warm_up(bottom, history)
    draw_column(bottom, history, "alpha_entropy", color=COLOURS[0], label="mean over edges")
    options = (~np.isnan(values)).sum(axis=1)
    bottom.axhline(np.log(options).mean(), color="#555555", linestyle="--", linewidth=1, label="undecided")
    bottom.set_ylim(bottom=0)
    plain(bottom, "Entropy of the architecture", x="round", y="entropy (nats)")
    legend_below(figure, bottom, columns=3)
    return figure

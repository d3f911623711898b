"""A found architecture as a graph: cells, the primitive of each edge, and what flows between them."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from autoreg.networks import Genotype
from autoreg.networks.cells import Edge
from autoreg.reporting.figures.style import COLOURS, WIDTH

# Inches, from the left and from the top.
_CELL, _FEATURES, _DEFORMATIONS = 1.75, 0.1, 2.95
_CHIP, _PAD, _GAP, _LINE = 0.27, 0.1, 0.55, 0.16
_BACKGROUND = "#F2F5F7"
_ARROW = {"arrowstyle": "-|>", "color": "#333333", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}


def architecture_graph(genotype: Genotype) -> Figure:
    """Levels from the half grid (top) to the coarsest: feature cells at the left, deformation cells at the right.

    A cell lists its edges in their order: primitive, and channels that come out.
    """
    architecture = genotype.architecture
    levels = range(1, architecture.levels + 1)
    colours = dict(
        zip(dict.fromkeys(genotype.edges[edge.name] for edge in architecture.edges()), COLOURS, strict=False)
    )
    seen = {level: wrap("sees " + ", ".join(architecture.inputs_of(level)), 27) for level in levels}
    heights = [_height(max(_rows(architecture, level, seen[level]))) for level in levels]
    total = 1.0 + sum(heights) + _GAP * (len(heights) - 1)
    figure = Figure(figsize=(WIDTH, total))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(total, 0))
    axes.set_axis_off()
    axes.text(_FEATURES, 0.2, "Architecture", fontsize=10, fontweight="bold", va="center")
    top = 0.9
    _ends(axes, top)
    for level, height in zip(levels, heights, strict=True):
        size = f"grid / {2**level}"
        _cell(
            axes, _FEATURES, top, height, f"features, {size}", [], architecture.feature_cell(level), genotype, colours
        )
        _cell(
            axes, _DEFORMATIONS, top, height, f"deformation, {size}", seen[level], architecture.deformation_cell(level),
            genotype, colours,
        )  # fmt: skip
        _arrow(axes, (_FEATURES + _CELL, top + height / 2), (_DEFORMATIONS, top + height / 2))
        axes.text((_FEATURES + _CELL + _DEFORMATIONS) / 2, top + height / 2 - 0.06, "fixed and\nmoving",
                  fontsize=8, ha="center", va="bottom")  # fmt: skip
        below = top + height
        if level < architecture.levels:
            _arrow(axes, (_FEATURES + _CELL / 2, below), (_FEATURES + _CELL / 2, below + _GAP))
            _arrow(axes, (_DEFORMATIONS + _CELL / 2, below + _GAP), (_DEFORMATIONS + _CELL / 2, below))
            axes.text(_DEFORMATIONS + _CELL / 2 - 0.08, below + _GAP / 2, "displacement", fontsize=8, ha="right",
                      va="center")  # fmt: skip
        top = below + _GAP
    return figure


def describe_architecture(genotype: Genotype) -> str:
    """The same in words."""
    edges = ", ".join(f"{edge.name} {genotype.edges[edge.name]}" for edge in genotype.architecture.edges())
    return f"Graph of the architecture with {genotype.architecture.levels} levels: {edges}"


def _rows(architecture, level: int, seen: Sequence[str]) -> tuple[float, float]:
    """Height of both cells of a level, in chips."""
    features = len(architecture.feature_cell(level))
    return features, len(architecture.deformation_cell(level)) + len(seen) * _LINE / _CHIP


def _height(chips: float) -> float:
    return 0.3 + _CHIP * chips + _PAD


def _ends(axes: Axes, top: float) -> None:
    """What goes into the network, and what comes out."""
    left, right = _FEATURES + _CELL / 2, _DEFORMATIONS + _CELL / 2
    axes.text(left, top - 0.42, "fixed, moving", fontsize=8, ha="center", va="center")
    axes.text(right, top - 0.42, "displacement", fontsize=8, ha="center", va="center")
    _arrow(axes, (left, top - 0.32), (left, top))
    _arrow(axes, (right, top), (right, top - 0.32))


def _cell(
    axes: Axes, x: float, y: float, height: float, title: str, seen: Sequence[str], edges: Sequence[Edge],
    genotype: Genotype, colours: Mapping[str, str],
) -> None:  # fmt: skip
    axes.add_patch(_box(x, y, _CELL, height, facecolor=_BACKGROUND, edgecolor="#777777"))
    axes.text(x + _PAD, y + 0.16, title, fontsize=8, fontweight="bold", va="center")
    y += 0.3
    for line in seen:
        axes.text(x + _PAD, y + _LINE / 2, line, fontsize=7.5, va="center")
        y += _LINE
    for edge in edges:
        primitive = genotype.edges[edge.name]
        colour = colours.get(primitive, "#777777")
        axes.add_patch(_box(x + _PAD, y, _CELL - 2 * _PAD, _CHIP - 0.05, facecolor=(colour, 0.3), edgecolor=colour))
        words = f"{primitive} \N{RIGHTWARDS ARROW} {edge.c_out}"
        axes.text(x + _CELL / 2, y + (_CHIP - 0.05) / 2, words, fontsize=8, ha="center", va="center")
        y += _CHIP


def _box(x: float, y: float, width: float, height: float, **style) -> FancyBboxPatch:
    return FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.05", linewidth=1, **style)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops=_ARROW)

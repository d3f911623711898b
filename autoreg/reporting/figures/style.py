"""What all figures share: width, colours, axes, PNG."""

import io
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoreg.files import result_file

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
WIDTH = 4.8
"""Inches. On a screen of 420 pixels letters of 8 points are then nine pixels high."""

_DPI = 110
_MARGIN = 0.08  # inches


def png_bytes(figure: Figure, *, dpi: int = _DPI) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_png(figure: Figure, path: Path, *, dpi: int = 160) -> None:
    """Write the figure as a PNG file, whole or not at all; a missing folder is made. Raises StorageError."""
    content = png_bytes(figure, dpi=dpi)
    with result_file(path) as file:
        file.write(content)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches, that keeps its words apart."""
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=_MARGIN, h_pad=_MARGIN)
    return figure


def line_styles() -> cycle:
    """Colour and dashes for line after line, all different for 28 lines."""
    return cycle([(colour, line) for line in LINES for colour in COLOURS])


def plain(axes: Axes, title: str, *, x: str = "", y: str = "") -> None:
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def legend_below(figure: Figure, axes: Axes, *, columns: int) -> None:
    """A legend of `axes` under the whole figure, where it covers nothing."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)

"""What a page is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from autoreg.reporting.figures.style import png_bytes

_PIXELS_AN_INCH = 100


@dataclass(frozen=True)
class Picture:
    """A PNG, and what it shows for those who cannot see it."""

    png: bytes
    alt: str
    width: int | None = None
    """Pixels of a page; its own if None."""


def picture(figure: Figure, alt: str) -> Picture:
    """A figure, sharp also on fine screens."""
    return Picture(png_bytes(figure, dpi=2 * _PIXELS_AN_INCH), alt, round(figure.get_figwidth() * _PIXELS_AN_INCH))


@dataclass(frozen=True)
class View:
    """Slices one above the other in one PNG."""

    name: str
    png: bytes


@dataclass(frozen=True)
class Viewer:
    """Views of the same slices, which a slider moves together."""

    title: str
    caption: str
    views: Sequence[View]
    slices: Sequence[int]
    """Their numbers in the volume."""
    aspect: float
    """Width of a slice by its height."""


@dataclass(frozen=True)
class Section:
    """A part of a page; only what is filled in is shown, in this order."""

    title: str
    text: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    pictures: Sequence[Picture] = ()
    viewer: Viewer | None = None
    code: str = ""

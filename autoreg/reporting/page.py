"""What a page is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Picture:
    """A PNG, and what it shows for those who cannot see it."""

    png: bytes
    alt: str


@dataclass(frozen=True)
class Section:
    """A part of a page; only what is filled in is shown, in this order."""

    title: str
    text: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    pictures: Sequence[Picture] = ()
    code: str = ""

"""What is fixed about a registration network, and the edges that a choice must fill."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from autoreg.errors import SearchSpaceError
from autoreg.networks.matching import MATCHES

Composition = Literal["compose", "sum", "legacy"]
Downsampling = Literal["strided", "pooled"]


@dataclass(frozen=True)
class Edge:
    """A place in a cell where one primitive is chosen."""

    name: str
    c_in: int
    c_out: int
    stride: int = 1


@dataclass(frozen=True)
class Architecture:
    """A pyramid of feature cells and deformation cells; level 1 is the half grid, level L the coarsest.

    The defaults are the paper's: two levels, three edges in every cell, twelve edges in all.
    """

    dims: int = 3
    feature_channels: tuple[int, ...] = (16, 32)
    """Channels of the feature cell of each level, finest first; their number is the number of levels."""
    feature_edges: int = 3
    deformation_channels: tuple[int, ...] = (48, 32, 16)
    """Channels after each edge of every deformation cell."""
    match: str = "concat"
    """What a deformation cell sees: both feature maps (`concat`); their L1 distance and the fixed ones (`cost`); all
    (`concat+cost`); or one that the user registered."""
    refine: bool = False
    """A residual regularisation module on every velocity."""
    composition: Composition = "compose"
    """How a level joins the coarser one: by composition; by the `sum` of its velocity and the coarser displacement, as
    MPRNet was published; or, as AutoReg was, by replacing it (`legacy`)."""
    downsampling: Downsampling = "strided"
    """How a level is entered: by the stride of its first edge, or by space-to-depth and mean pooling."""
    integration_steps: int = 7

    def __post_init__(self) -> None:
        for field, value in (
            ("feature_channels", self.feature_channels),
            ("deformation_channels", self.deformation_channels),
        ):
            if not value or any(c < 1 for c in value):
                raise SearchSpaceError(f"architecture.{field}: expected positive channel counts, got {value}")
        if self.dims not in (2, 3):
            raise SearchSpaceError(f"architecture.dims: expected 2 or 3, got {self.dims}")
        if self.feature_edges < 1:
            raise SearchSpaceError(f"architecture.feature_edges: expected at least 1, got {self.feature_edges}")
        if self.integration_steps < 0:
            raise SearchSpaceError(f"architecture.integration_steps: expected 0 or more, got {self.integration_steps}")
        for field, word, known in (
            ("match", self.match, tuple(MATCHES)),
            ("composition", self.composition, get_args(Composition)),
            ("downsampling", self.downsampling, get_args(Downsampling)),
        ):
            if word not in known:
                raise SearchSpaceError(f"architecture.{field}: expected one of {', '.join(known)}, got {word!r}")

    @property
    def levels(self) -> int:
        return len(self.feature_channels)

    @property
    def multiple(self) -> int:
        """Image sizes must divide by this."""
        return int(2**self.levels)

    def feature_cell(self, level: int) -> list[Edge]:
        """Edges of the feature cell of a level (1 = half grid)."""
        c_out = self.feature_channels[level - 1]
        strided = self.downsampling == "strided"
        image_channels = 1 if strided else 2**self.dims
        c_in = self.feature_channels[level - 2] if level > 1 else image_channels
        first = Edge(f"feature.{level}.0", c_in, c_out, 2 if strided else 1)
        rest = [Edge(f"feature.{level}.{i}", c_out, c_out) for i in range(1, self.feature_edges)]
        return [first, *rest]

    def deformation_cell(self, level: int) -> list[Edge]:
        """Edges of the deformation cell of a level."""
        features = self.feature_channels[level - 1]
        seen = MATCHES[self.match].channels(features)
        if level < self.levels:  # the displacement and the decoder features from the coarser level
            seen += self.dims + self.deformation_channels[-1]
        pairs = pairwise((seen, *self.deformation_channels))
        return [Edge(f"deformation.{level}.{i}", a, b) for i, (a, b) in enumerate(pairs)]

    def edges(self) -> list[Edge]:
        """All edges in the fixed order of alpha's rows: by level from finest, features before deformation."""
        levels = range(1, self.levels + 1)
        return [e for level in levels for e in (*self.feature_cell(level), *self.deformation_cell(level))]

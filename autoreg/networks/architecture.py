"""What is fixed about a registration network, and the edges that a choice must fill."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from autoreg.errors import SearchSpaceError
from autoreg.networks.cells import CELLS, Edge
from autoreg.networks.matching import COARSER, FINER, MATCHES, VIEWS, known_inputs

Composition = Literal["compose", "sum", "legacy"]
Downsampling = Literal["strided", "pooled"]


@dataclass(frozen=True)
class Architecture:
    """A pyramid of feature cells and deformation cells; level 1 is the half grid, level L the coarsest.

    The defaults are the paper's: two levels, three edges in every cell, twelve edges in all.
    """

    dims: int = 3
    feature_channels: tuple[int, ...] = (16, 32)
    """Channels of the feature cell of each level, finest first; their number is the number of levels."""
    feature_edges: int = 3
    deformation_channels: tuple[int, ...] | tuple[tuple[int, ...], ...] = (48, 32, 16)
    """Channels after each edge of every deformation cell; or such a list for each level, finest first."""
    match: str = "concat"
    """What a deformation cell sees: both feature maps (`concat`); their L1 distance and the fixed ones (`cost`); all
    (`concat+cost`); both maps and their demons force (`concat+force`); or one that the user registered. Below the
    coarsest level also displacement and decoded."""
    inputs: tuple[tuple[str, ...], ...] = ()
    """What the deformation cell of each level sees, finest first, in the order of channels; instead of `match`."""
    cell: str = "chain"
    """How the edges of every cell are wired: one after the other, or as the user registered."""
    refine: bool = False
    """A residual regularisation module on every velocity."""
    composition: Composition = "compose"
    """How a level joins the coarser one: by composition; by the `sum` of its velocity and the coarser displacement, as
    MPRNet was published; or, as AutoReg was, by replacing it (`legacy`)."""
    downsampling: Downsampling = "strided"
    """How a level is entered: by the stride of its first edge, or by space-to-depth and mean pooling."""
    integration_steps: int = 7
    passes: tuple[int, ...] = ()
    """How often each level, finest first, looks at the images as warped so far, by the same cell; once if empty.

    Reference: the shared weights of recursive cascades, Zhao et al., arXiv:1907.12353, there of whole networks."""

    def __post_init__(self) -> None:
        for field, word, known in (
            ("match", self.match, tuple(MATCHES)),
            ("cell", self.cell, tuple(CELLS)),
            ("composition", self.composition, get_args(Composition)),
            ("downsampling", self.downsampling, get_args(Downsampling)),
        ):
            if word not in known:
                raise SearchSpaceError(f"architecture.{field}: expected one of {', '.join(known)}, got {word!r}")
        if self.dims not in (2, 3):
            raise SearchSpaceError(f"architecture.dims: expected 2 or 3, got {self.dims}")
        if self.feature_edges < 1:
            raise SearchSpaceError(f"architecture.feature_edges: expected at least 1, got {self.feature_edges}")
        if self.integration_steps < 0:
            raise SearchSpaceError(f"architecture.integration_steps: expected 0 or more, got {self.integration_steps}")
        for field in ("feature_channels", "deformation_channels", "inputs", "passes"):
            if not isinstance(getattr(self, field), tuple):
                raise SearchSpaceError(f"architecture.{field}: expected a list, got {getattr(self, field)!r}")
        _positive("feature_channels", self.feature_channels)
        if not self.deformation_channels or isinstance(self.deformation_channels[0], tuple):
            self._one_a_level("deformation_channels", self.deformation_channels)
        for channels in self._deformation_channels:
            _positive("deformation_channels", channels)
        if self.inputs:
            self._one_a_level("inputs", self.inputs)
        if self.passes:
            self._one_a_level("passes", self.passes)
            _positive("passes", self.passes)
            if self.composition == "legacy" and max(self.passes) > 1:
                raise SearchSpaceError(
                    "architecture.passes: expected 1 where composition is legacy: a pass would undo the last"
                )
        for level, names in enumerate(self.inputs, start=1):
            self._check_inputs(level, names)

    def _one_a_level(self, field: str, values: Sequence[object]) -> None:
        if len(values) != self.levels:
            raise SearchSpaceError(f"architecture.{field}: expected a list for each of {self.levels} levels")

    def _check_inputs(self, level: int, names: Sequence[str]) -> None:
        known = [name for name in known_inputs() if level < self.levels or name not in COARSER]
        wrong = [name for name in names if name not in known]
        if wrong or not names or len(set(names)) < len(names):
            expected = f"expected at least one of {', '.join(known)}, each once"
            raise SearchSpaceError(f"architecture.inputs: level {level}: {expected}, got {list(names)}")

    @property
    def levels(self) -> int:
        return len(self.feature_channels)

    @property
    def multiple(self) -> int:
        """Image sizes must divide by this."""
        return int(2**self.levels)

    @property
    def _deformation_channels(self) -> list[tuple[int, ...]]:
        """Of each level, finest first."""
        given = self.deformation_channels
        return [given] * self.levels if not isinstance(given[0], tuple) else list(given)  # type: ignore[return-value]

    def channels_of_deformation(self, level: int) -> tuple[int, ...]:
        """Channels after each edge of the deformation cell of a level."""
        return self._deformation_channels[level - 1]

    def passes_of(self, level: int) -> int:
        """How often a level looks at both images, the moving one warped by what was found so far."""
        return self.passes[level - 1] if self.passes else 1

    def inputs_of(self, level: int) -> tuple[str, ...]:
        """What the deformation cell of a level sees, in the order of channels."""
        if self.inputs:
            return self.inputs[level - 1]
        return (*MATCHES[self.match], *(COARSER if level < self.levels else ()))

    def input_channels(self, level: int, name: str) -> int:
        """Channels of something that the deformation cell of a level may see."""
        if name in VIEWS:
            return VIEWS[name].channels(self.feature_channels[level - 1], self.dims)
        if name == FINER:
            return 2 * (self.feature_channels[level - 2] if level > 1 else 1)
        return {"displacement": self.dims, "decoded": self.channels_of_deformation(level + 1)[-1]}[name]

    def feature_cell(self, level: int) -> list[Edge]:
        """Edges of the feature cell of a level (1 = half grid)."""
        strided = self.downsampling == "strided"
        image_channels = 1 if strided else 2**self.dims
        c_in = self.feature_channels[level - 2] if level > 1 else image_channels
        channels = [self.feature_channels[level - 1]] * self.feature_edges
        return self._cell(f"feature.{level}", c_in, channels, 2 if strided else 1)

    def deformation_cell(self, level: int) -> list[Edge]:
        """Edges of the deformation cell of a level."""
        seen = sum(self.input_channels(level, name) for name in self.inputs_of(level))
        return self._cell(f"deformation.{level}", seen, self.channels_of_deformation(level), 1)

    def _cell(self, name: str, c_in: int, channels: Sequence[int], stride: int) -> list[Edge]:
        return [replace(e, name=f"{name}.{e.name}") for e in CELLS[self.cell].edges(c_in, channels, stride)]

    def edges(self) -> list[Edge]:
        """All edges in the fixed order of alpha's rows: by level from finest, features before deformation."""
        levels = range(1, self.levels + 1)
        return [e for level in levels for e in (*self.feature_cell(level), *self.deformation_cell(level))]


def _positive(field: str, channels: Sequence[int]) -> None:
    if not channels or any(c < 1 for c in channels):
        raise SearchSpaceError(f"architecture.{field}: expected positive channel counts, got {channels}")

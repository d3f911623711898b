"""Structural choices inside a supernet: gates of options as factors on inputs, levels and channels.

A decided choice gives factors 0 and 1, and the supernet then computes what the decoded network computes with the same
weights: channels of a narrower cell are the first of the wide one (weights are shared, as Wan et al. mask them in
FBNetV2, arXiv:2004.05565, section 3.1), an input that is skipped is zero, and a level that is left out moves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from autoreg.errors import SearchSpaceError
from autoreg.networks.architecture import Architecture
from autoreg.networks.cells import Edge
from autoreg.networks.matching import COARSER, FINER, VIEWS
from autoreg.networks.mixed import Gate
from autoreg.networks.primitives import over_channels
from autoreg.networks.registration import DeformationCell
from autoreg.networks.topology import USE, Choice, connection, width, with_structure
from autoreg.shapes import Image, Velocity

Factors = dict[str, Tensor]
"""Edge -> factors of its channels."""
Shares = dict[str, Tensor]
"""Choice -> (options,), of sum 1."""


@dataclass(frozen=True)
class Masks:
    """Factors on the parts of a supernet; what is missing is 1."""

    outputs: Factors = field(default_factory=dict)
    """(c_out,) of every edge."""
    inner: Factors = field(default_factory=dict)
    """(c_in,) that an edge's input has come with."""
    seen: dict[int, Tensor] = field(default_factory=dict)
    """Level -> (channels,) of what its deformation cell sees."""
    decoded: dict[int, Tensor] = field(default_factory=dict)
    """Level -> (channels,) of what its deformation cell's edges give."""
    on: dict[int, Tensor] = field(default_factory=dict)
    """Level -> whether it takes part, a number."""


class GatedCell(DeformationCell):
    """A deformation cell of a supernet whose structure is searched."""

    seen: Tensor | None = None
    on: Tensor | None = None

    def forward(self, seen: Image, coarser: Sequence[Tensor] = ()) -> tuple[Velocity, Image]:
        gated = seen if self.seen is None else seen * over_channels(self.seen, seen)
        velocity, decoded = super().forward(gated, coarser)
        return velocity if self.on is None else velocity * self.on, decoded


class Structure:
    """Structural choices of a supernet.

    Args:
        largest: the architecture that the supernet is built as.
        choices: its structural choices, in alpha's order.

    Raises:
        SearchSpaceError: widths of features are searched and a view mixes channels.
    """

    def __init__(self, largest: Architecture, choices: Sequence[Choice]) -> None:
        self.largest = largest
        self.choices = {choice.name: choice.options for choice in choices}
        self._narrowed = {
            name: [with_structure(largest, {name: option}) for option in options]
            for name, options in self.choices.items()
            if name.startswith("width.")
        }
        self._edges = {
            name: [{edge.name: edge for edge in one.edges()} for one in narrowed]
            for name, narrowed in self._narrowed.items()
        }
        self._views = {
            (level, view): torch.stack([channels_left(view, largest, level, n) for n in self._features(level)])
            for level in range(1, largest.levels + 1)
            for view in largest.inputs_of(level)
            if view in VIEWS and width("feature", level) in self.choices
        }

    def masks(self, gates: Sequence[Gate]) -> Masks:
        """Factors for the gates of the structural choices."""
        shares: Shares = {}
        for (name, options), gate in zip(self.choices.items(), gates, strict=True):
            weights = gate.weights[: len(options)]
            shares[name] = weights / weights.sum()
        masks = Masks()
        for level in range(1, self.largest.levels + 1):
            self._mask_features(level, shares, masks)
            self._mask_deformation(level, shares, masks)
            for of_level, value in (
                (masks.on, self._on(level, shares)),
                (masks.decoded, self._of_decoded(level, shares)),
            ):
                if value is not None:
                    of_level[level] = value
        return masks

    def _mask_features(self, level: int, shares: Shares, masks: Masks) -> None:
        before = self._of_features(level - 1, shares)
        self._mask_cell(self.largest.feature_cell(level), width("feature", level), shares, masks, before)

    def _mask_deformation(self, level: int, shares: Shares, masks: Masks) -> None:
        names = self.largest.inputs_of(level)
        gates = [self._gate(level, name, shares) for name in names]
        channels = [self._of_input(level, name, shares) for name in names]
        counts = [self.largest.input_channels(level, name) for name in names]
        seen = _joined(gates, counts)
        if seen is not None:
            masks.seen[level] = seen
        before = _joined([_product(g, c) for g, c in zip(gates, channels, strict=True)], counts)
        self._mask_cell(self.largest.deformation_cell(level), width("deformation", level), shares, masks, before)

    def _mask_cell(self, edges: Sequence[Edge], row: str, shares: Shares, masks: Masks, before: Tensor | None) -> None:
        for edge in edges:
            if row in shares:
                narrowed = [named[edge.name] for named in self._edges[row]]
                masks.outputs[edge.name] = first_channels(shares[row], [e.c_out for e in narrowed])
                if not edge.at_input:
                    masks.inner[edge.name] = first_channels(shares[row], [e.c_in for e in narrowed])
            if edge.at_input and before is not None:
                masks.inner[edge.name] = before

    def _on(self, level: int, shares: Shares) -> Tensor | None:
        """Share of the options that have this level; None where all have."""
        if "levels" not in shares:
            return None
        without = sum(int(n) < level for n in self.choices["levels"])
        return shares["levels"][without:].sum() if without else None

    def _gate(self, level: int, name: str, shares: Shares) -> Tensor | None:
        """Whether the deformation cell of a level sees an input, a number; None where it always does."""
        row = connection(level, name)
        used = shares[row][self.choices[row].index(USE)] if row in shares else None
        return _product(used, self._on(level + 1, shares)) if name in COARSER else used

    def _of_input(self, level: int, name: str, shares: Shares) -> Tensor | None:
        """Factors that the channels of an input come with."""
        if (level, name) in self._views:
            share = shares[width("feature", level)]
            return share @ self._views[level, name].to(share)
        if name == FINER:
            finer = self._of_features(level - 1, shares)
            return None if finer is None else torch.cat([finer, finer])
        return self._of_decoded(level + 1, shares) if name == "decoded" else None

    def _of_decoded(self, level: int, shares: Shares) -> Tensor | None:
        row = width("deformation", level)
        if row not in shares:
            return None
        return first_channels(shares[row], [n.channels_of_deformation(level)[-1] for n in self._narrowed[row]])

    def _of_features(self, level: int, shares: Shares) -> Tensor | None:
        row = width("feature", level)
        return first_channels(shares[row], self._features(level)) if row in shares else None

    def _features(self, level: int) -> list[int]:
        """Channels of a level's features by option."""
        return [narrowed.feature_channels[level - 1] for narrowed in self._narrowed[width("feature", level)]]


def first_channels(shares: Tensor, counts: Sequence[int]) -> Tensor:
    """Each channel's share of the options that have it: option k has the first counts[k], and counts do not fall."""
    having = shares.flip(0).cumsum(0).flip(0)
    steps = [b - a for a, b in pairwise((0, *counts))]
    return torch.cat([share.expand(n) for share, n in zip(having, steps, strict=True)])


def channels_left(view: str, architecture: Architecture, level: int, features: int) -> Tensor:
    """1 where a view has something to see when only the first `features` feature channels are not zero, else 0.

    Raises:
        SearchSpaceError: that is another number of channels than the view says for so many features.
    """
    total = architecture.feature_channels[level - 1]
    size = (1, total, *[4] * architecture.dims)
    fixed, moving = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    fixed[:, features:] = moving[:, features:] = 0
    left = VIEWS[view].of(fixed, moving)[0].flatten(1).abs().amax(1) > 0
    expected = VIEWS[view].channels(features, architecture.dims)
    if int(left.sum()) != expected:
        raise SearchSpaceError(
            f"topology.widths: expected a match that treats channels alike: {view!r} gives {expected} channels for "
            f"{features} features, but with {features} of {total} features {int(left.sum())} of its channels are not 0"
        )
    return left.float()


def _joined(parts: Sequence[Tensor | None], counts: Sequence[int]) -> Tensor | None:
    """Factors of all channels of several inputs; None where none has any."""
    there = [part for part in parts if part is not None]
    if not there:
        return None
    ones = there[0].new_ones(())
    return torch.cat([(ones if part is None else part).expand(n) for part, n in zip(parts, counts, strict=True)])


def _product(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a * b

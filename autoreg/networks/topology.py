"""What of an architecture's structure is searched: connections among cells, the number of levels, channel widths.

Every structural choice is named options like an edge's primitives, and a decoded one is plain architecture:

    connection.LEVEL.INPUT      skip | use        whether a deformation cell sees an input
    levels                      2 | 3 | ...       the coarsest levels may be left out
    width.CELL.LEVEL            50 | 75 | 100     percent of the channels of every edge of a cell (feature, deformation)
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from autoreg.errors import SearchSpaceError
from autoreg.networks.architecture import Architecture
from autoreg.networks.matching import COARSER, known_inputs

SKIP, USE = "skip", "use"
CELL_KINDS = ("feature", "deformation")


@dataclass(frozen=True)
class Choice:
    """Something to choose: a row of alpha."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Topology:
    """Which structural choices there are; by default none."""

    connections: tuple[str, ...] = ()
    """Inputs of deformation cells that may be skipped, at every level; added where the architecture has them not."""
    min_levels: int | None = None
    """Fewest levels."""
    widths: tuple[float, ...] = ()
    """Fractions of the channels of a cell, ascending; the last is 1."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.connections if name not in known_inputs()]
        if unknown or len(set(self.connections)) < len(self.connections):
            known = ", ".join(known_inputs())
            raise SearchSpaceError(
                f"topology.connections: expected some of {known}, each once, got {list(self.connections)}"
            )
        numbers = all(isinstance(w, (int, float)) and 0 < w <= 1 for w in self.widths)
        if self.widths and not (numbers and self.widths[-1] == 1 and len(self.widths) > 1 and _rise(self.percents)):
            raise SearchSpaceError(
                f"topology.widths: expected rising fractions of which the last is 1, got {list(self.widths)}"
            )

    @property
    def percents(self) -> list[int]:
        return [round(100 * width) for width in self.widths]

    def largest(self, architecture: Architecture) -> Architecture:
        """The architecture with every connection that may be used.

        Raises:
            SearchSpaceError: the choices do not fit the architecture.
        """
        if self.min_levels is not None and not 1 <= self.min_levels <= architecture.levels:
            raise SearchSpaceError(f"topology.min_levels: expected 1 to {architecture.levels}, got {self.min_levels}")
        if not self.connections:
            return architecture
        inputs = []
        for level in range(1, architecture.levels + 1):
            there = architecture.inputs_of(level)
            if not set(there) - set(COARSER) - set(self.connections):
                raise SearchSpaceError(
                    f"topology.connections: expected an input that always stays, of {', '.join(there)} at level {level}"
                )
            possible = [c for c in self.connections if level < architecture.levels or c not in COARSER]
            inputs.append((*there, *(c for c in possible if c not in there)))
        return replace(architecture, inputs=tuple(inputs))

    def choices(self, largest: Architecture) -> list[Choice]:
        """The structural choices, in alpha's order."""
        levels = range(1, largest.levels + 1)
        found = [
            Choice(connection(level, name), (SKIP, USE))
            for level in levels
            for name in largest.inputs_of(level)
            if name in self.connections
        ]
        if self.min_levels is not None and self.min_levels < largest.levels:
            found.append(Choice("levels", tuple(str(n) for n in range(self.min_levels, largest.levels + 1))))
        if self.widths:
            percents = tuple(map(str, self.percents))
            found += [Choice(width(kind, level), percents) for level in levels for kind in CELL_KINDS]
        return found


def connection(level: int, name: str) -> str:
    """Name of the choice whether the deformation cell of a level sees an input."""
    return f"connection.{level}.{name}"


def width(kind: str, level: int) -> str:
    """Name of the choice how wide a cell is."""
    return f"width.{kind}.{level}"


def with_structure(largest: Architecture, options: Mapping[str, str]) -> Architecture:
    """The architecture that structural options say; what they do not name stays as it is."""
    levels = int(options.get("levels", largest.levels))

    def narrowed(kind: str, level: int, channels: tuple[int, ...]) -> tuple[int, ...]:
        percent = int(options.get(width(kind, level), 100))
        return tuple(-(-c * percent // 100) for c in channels)

    def sees(level: int, name: str) -> bool:
        return options.get(connection(level, name)) != SKIP and not (level == levels and name in COARSER)

    kept = range(1, levels + 1)
    deformation = tuple(narrowed("deformation", level, largest.channels_of_deformation(level)) for level in kept)
    inputs = tuple(tuple(name for name in largest.inputs_of(level) if sees(level, name)) for level in kept)
    plain = replace(
        largest,
        feature_channels=tuple(narrowed("feature", n, (largest.feature_channels[n - 1],))[0] for n in kept),
        deformation_channels=deformation[0] if len(set(deformation)) == 1 else deformation,
        inputs=(),
        passes=largest.passes[:levels],
    )
    as_match_says = tuple(plain.inputs_of(level) for level in kept)
    return plain if inputs == as_match_says else replace(plain, inputs=inputs)


def _rise(values: list[int]) -> bool:
    return all(a < b for a, b in pairwise(values))

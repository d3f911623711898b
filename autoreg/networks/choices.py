"""All choices of a search in one order: the primitive of every edge, then the structure. Rows of alpha."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from autoreg.networks.architecture import Architecture
from autoreg.networks.cells import Edge
from autoreg.networks.genotype import Genotype, architecture_from_dict, fields_from_dict
from autoreg.networks.primitives import usual_primitive
from autoreg.networks.structure import Structure
from autoreg.networks.topology import Choice, Topology, with_structure


@dataclass(frozen=True)
class Choices:
    """What a search chooses among.

    Args:
        architecture: as the search space states it: what people would use.
        primitives: names of the options of every edge.
        topology: which structural choices there are.

    Raises:
        SearchSpaceError: the structural choices do not fit the architecture.
    """

    architecture: Architecture
    primitives: tuple[str, ...]
    topology: Topology = field(default_factory=Topology)

    def __post_init__(self) -> None:
        _ = self.gating  # raises what does not fit

    @cached_property
    def largest(self) -> Architecture:
        """Every connection, every level, full width: what the supernet is built as."""
        return self.topology.largest(self.architecture)

    @cached_property
    def edges(self) -> list[Edge]:
        """Edges of the supernet: the first rows."""
        return self.largest.edges()

    @cached_property
    def structure(self) -> list[Choice]:
        """The rows after the edges."""
        return self.topology.choices(self.largest)

    @cached_property
    def gating(self) -> Structure:
        """Gates of the structural rows as factors inside the supernet."""
        return Structure(self.largest, self.structure)

    @cached_property
    def rows(self) -> list[Choice]:
        return [*(Choice(edge.name, self.primitives) for edge in self.edges), *self.structure]

    @cached_property
    def there(self) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """(rows, columns): whether a row has so many options. Alpha is -inf where not."""
        columns = max(len(row.options) for row in self.rows)
        return np.array([[i < len(row.options) for i in range(columns)] for row in self.rows])

    def genotype(self, chosen: Sequence[int]) -> Genotype:
        """The network with the given option of every row; primitives of edges that it has not are dropped."""
        options = {row.name: row.options[i] for row, i in zip(self.rows, chosen, strict=True)}
        architecture = with_structure(self.largest, {row.name: options[row.name] for row in self.structure})
        return Genotype(architecture, {edge.name: options[edge.name] for edge in architecture.edges()})

    def usual(self) -> list[int]:
        """What people would use: the stated architecture with the usual primitive everywhere."""
        usual = self.primitives.index(usual_primitive(self.primitives))
        return [usual] * len(self.edges) + [row.options.index(self._stated(row)) for row in self.structure]

    def _stated(self, row: Choice) -> str:
        kind, _, rest = row.name.partition(".")
        if kind != "connection":
            return row.options[-1]
        level, _, name = rest.partition(".")
        return "use" if name in self.architecture.inputs_of(int(level)) else "skip"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `choices_from_dict` gives the same choices back."""
        return {
            "architecture": asdict(self.architecture),
            "primitives": self.primitives,
            "topology": asdict(self.topology),
        }


def topology_from_dict(values: Mapping[str, Any]) -> Topology:
    """From plain values. Raises SearchSpaceError naming an unknown key or a wrong value."""
    return fields_from_dict("topology", Topology, values)


def choices_from_dict(values: Mapping[str, Any]) -> Choices:
    """From `Choices.to_dict`."""
    topology = topology_from_dict(values.get("topology", {}))
    return Choices(architecture_from_dict(values["architecture"]), tuple(values["primitives"]), topology)

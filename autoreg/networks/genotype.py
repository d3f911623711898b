"""The choice on every edge, to and from plain dictionaries (YAML), and the network derived from it."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from autoreg.errors import SearchSpaceError
from autoreg.networks.architecture import Architecture, Edge
from autoreg.networks.primitives import PRIMITIVES, make_primitive
from autoreg.networks.registration import RegistrationNetwork


def check_primitive(name: str, where: str) -> str:
    """The name itself. Raises SearchSpaceError with the known names."""
    if name not in PRIMITIVES:
        raise SearchSpaceError(f"{where}: unknown primitive {name!r}{_nearest(name)}; known: {', '.join(PRIMITIVES)}")
    return name


def _nearest(name: object) -> str:
    close = difflib.get_close_matches(str(name), PRIMITIVES, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


@dataclass(frozen=True)
class Genotype:
    """An architecture with a primitive chosen on every edge."""

    architecture: Architecture
    edges: Mapping[str, str]

    def __post_init__(self) -> None:
        wanted = [edge.name for edge in self.architecture.edges()]
        missing = [name for name in wanted if name not in self.edges]
        extra = [name for name in self.edges if name not in wanted]
        if missing or extra:
            raise SearchSpaceError(f"genotype.edges: missing {missing}, not in the architecture {extra}")
        for name, primitive in self.edges.items():
            check_primitive(primitive, f"genotype.edges.{name}")

    @classmethod
    def uniform(cls, architecture: Architecture, primitive: str) -> "Genotype":
        """The same primitive on every edge (all-conv1, all-conv3, all-conv7)."""
        return cls(architecture, {edge.name: primitive for edge in architecture.edges()})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML; `from_dict` gives the same genotype back."""
        architecture = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.architecture).items()}
        return {"architecture": architecture, "edges": dict(self.edges)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Genotype":
        """Raises SearchSpaceError for missing or unknown keys, edges and primitives."""
        unknown = set(values) - {"architecture", "edges"}
        if unknown or not {"architecture", "edges"} <= set(values):
            raise SearchSpaceError(f"genotype: expected keys architecture and edges, got {sorted(values)}")
        return cls(architecture_from_dict(values["architecture"]), dict(values["edges"]))

    def build(self) -> nn.Module:
        """The derived network, with fresh weights."""
        dims = self.architecture.dims

        def edge_module(edge: Edge) -> nn.Module:
            return make_primitive(self.edges[edge.name], dims, edge.c_in, edge.c_out, stride=edge.stride)

        return RegistrationNetwork(self.architecture, edge_module)


def architecture_from_dict(values: Mapping[str, Any]) -> Architecture:
    """Raises SearchSpaceError naming an unknown key."""
    known = {f.name for f in fields(Architecture)}
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise SearchSpaceError(f"architecture: unknown key {key!r}{hint}; known: {', '.join(sorted(known))}")
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        return Architecture(**plain)
    except TypeError as error:
        raise SearchSpaceError(f"architecture: {error}") from error

"""The choice on every edge, to and from plain dictionaries (YAML), and the network derived from it."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from autoreg.errors import SearchSpaceError
from autoreg.networks.architecture import Architecture, Edge
from autoreg.networks.primitives import PRIMITIVES, make_primitive
from autoreg.networks.registration import RegistrationNetwork


def check_primitive(name: str, where: str) -> str:
    """The name itself. Raises SearchSpaceError with the known names."""
    if not isinstance(name, str) or name not in PRIMITIVES:
        hint = _nearest(name, PRIMITIVES)
        raise SearchSpaceError(f"{where}: unknown primitive {name!r}{hint}; known: {', '.join(PRIMITIVES)}")
    return name


def _nearest(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


@dataclass(frozen=True)
class Genotype:
    """An architecture with a primitive chosen on every edge."""

    architecture: Architecture
    edges: Mapping[str, str]

    def __post_init__(self) -> None:
        wanted = [edge.name for edge in self.architecture.edges()]
        for name in self.edges:
            if name not in wanted:
                raise SearchSpaceError(f"genotype.edges: {name!r} is not in the architecture{_nearest(name, wanted)}")
        missing = [name for name in wanted if name not in self.edges]
        if missing:
            raise SearchSpaceError(f"genotype.edges: missing {', '.join(missing)}")
        for name, primitive in self.edges.items():
            check_primitive(primitive, f"genotype.edges.{name}")

    @classmethod
    def uniform(cls, architecture: Architecture, primitive: str) -> "Genotype":
        """The same primitive on every edge (all-conv1, all-conv3, all-conv7)."""
        return cls(architecture, {edge.name: primitive for edge in architecture.edges()})

    @classmethod
    def of_choices(cls, architecture: Architecture, primitives: Sequence[str], chosen: Sequence[int]) -> "Genotype":
        """From a primitive's number for every edge, in the order of `architecture.edges()`."""
        names = [edge.name for edge in architecture.edges()]
        return cls(architecture, {name: primitives[i] for name, i in zip(names, chosen, strict=True)})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML; `from_dict` gives the same genotype back."""
        architecture = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.architecture).items()}
        return {"architecture": architecture, "edges": dict(self.edges)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Genotype":
        """Raises SearchSpaceError for missing or unknown keys, edges and primitives."""
        if not isinstance(values, Mapping) or set(values) != {"architecture", "edges"}:
            got = sorted(map(str, values)) if isinstance(values, Mapping) else repr(values)
            raise SearchSpaceError(f"genotype: expected keys architecture and edges, got {got}")
        if not isinstance(values["edges"], Mapping):
            raise SearchSpaceError(f"genotype.edges: expected edge: primitive, got {values['edges']!r}")
        return cls(architecture_from_dict(values["architecture"]), dict(values["edges"]))

    def build(self) -> nn.Module:
        """The derived network, with fresh weights."""
        dims = self.architecture.dims

        def edge_module(edge: Edge) -> nn.Module:
            return make_primitive(self.edges[edge.name], dims, edge.c_in, edge.c_out, stride=edge.stride)

        return RegistrationNetwork(self.architecture, edge_module)


def architecture_from_dict(values: Mapping[str, Any]) -> Architecture:
    """An architecture from plain values. Raises SearchSpaceError naming an unknown key or a wrong value."""
    if not isinstance(values, Mapping):
        raise SearchSpaceError(f"architecture: expected keys and values, got {values!r}")
    known = [f.name for f in fields(Architecture)]
    for key in values:
        if key not in known:
            raise SearchSpaceError(
                f"architecture: unknown key {key!r}{_nearest(key, known)}; known: {', '.join(known)}"
            )
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        return Architecture(**plain)
    except TypeError as error:
        raise SearchSpaceError(f"architecture: {error}") from error

"""The choice on every edge, to and from plain dictionaries (YAML), and the network derived from it."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from torch import nn

from autoreg.errors import SearchSpaceError
from autoreg.networks.architecture import Architecture
from autoreg.networks.cells import Edge
from autoreg.networks.primitives import PRIMITIVES, make_primitive
from autoreg.networks.registration import RegistrationNetwork

T = TypeVar("T")


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML; `from_dict` gives the same genotype back."""
        architecture = {k: _lists(v) for k, v in asdict(self.architecture).items()}
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

    def build(self) -> RegistrationNetwork:
        """The derived network, with fresh weights."""
        dims = self.architecture.dims

        def edge_module(edge: Edge) -> nn.Module:
            return make_primitive(self.edges[edge.name], dims, edge.c_in, edge.c_out, stride=edge.stride)

        return RegistrationNetwork(self.architecture, edge_module)


def architecture_from_dict(values: Mapping[str, Any]) -> Architecture:
    """An architecture from plain values. Raises SearchSpaceError naming an unknown key or a wrong value."""
    return fields_from_dict("architecture", Architecture, values)


def fields_from_dict(where: str, kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from plain values, lists as tuples. Raises SearchSpaceError naming an unknown key, a wrong value."""
    if not isinstance(values, Mapping):
        raise SearchSpaceError(f"{where}: expected keys and values, got {values!r}")
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise SearchSpaceError(f"{where}: unknown key {key!r}{_nearest(key, known)}; known: {', '.join(known)}")
    try:
        return kind(**{k: _tuples(v) for k, v in values.items()})
    except TypeError as error:
        raise SearchSpaceError(f"{where}: {error}") from error


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value

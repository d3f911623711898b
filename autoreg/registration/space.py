"""What may vary: the architecture's edges, their primitives, and the loss terms with their weights."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from autoreg.errors import SearchSpaceError
from autoreg.losses import SIMILARITIES, SMOOTHNESS
from autoreg.networks import (
    Architecture,
    Choices,
    Topology,
    architecture_from_dict,
    check_primitive,
    topology_from_dict,
)
from autoreg.trilevel import WeightRange

OVERLAP = "dice"


def term_kinds() -> tuple[str, ...]:
    """What a term may be."""
    return (*SIMILARITIES, *SMOOTHNESS, OVERLAP)


@dataclass(frozen=True)
class Term:
    """One named part of the registration objective."""

    name: str
    kind: str
    """A similarity, a smoothness, or `dice` (soft Dice of training labels, where a pair has them)."""
    start: float = 1.0
    low: float = 1e-3
    high: float = 1e3
    reference: bool = False
    """The term whose weight is 1; exactly one of a space."""
    level: int = 0
    """Grid on which it is measured: 0 the image's own, 1 the half grid, and so on."""
    window: int | None = None
    """Voxels a side, for lncc."""

    def __post_init__(self) -> None:
        where = f"terms.{self.name}"
        if self.kind not in term_kinds():
            raise SearchSpaceError(f"{where}.kind: unknown {self.kind!r}{_hint(self.kind, term_kinds())}")
        if not 0 < self.low <= self.start <= self.high:
            got = f"{self.low}, {self.start}, {self.high}"
            raise SearchSpaceError(f"{where}: expected 0 < low <= start <= high, got {got}")
        if self.reference and self.start != 1:
            raise SearchSpaceError(f"{where}.start: expected 1 for the reference term, got {self.start}")
        if self.window is not None and (self.kind != "lncc" or self.window < 3 or self.window % 2 == 0):
            raise SearchSpaceError(f"{where}.window: expected an odd number from 3 up, lncc only, got {self.window}")

    @property
    def weight_range(self) -> WeightRange:
        return WeightRange(self.name, self.start, self.low, self.high, self.reference)


@dataclass(frozen=True)
class SearchSpace:
    """A search space as a file of search_spaces/ states it."""

    name: str
    architecture: Architecture
    primitives: tuple[str, ...]
    terms: tuple[Term, ...]
    topology: Topology = field(default_factory=Topology)
    """What of the architecture's structure is searched, too."""
    learning_rate: tuple[float, float] = (1e-4, 2e-3)
    """Range of the learning rate for manual tuning."""

    def __post_init__(self) -> None:
        where = f"search space {self.name}"
        try:
            choices = self.choices
        except SearchSpaceError as error:
            raise SearchSpaceError(f"{where}: {error}") from error
        for name in self.primitives:
            check_primitive(name, f"{where}: primitives")
        if len(self.primitives) < 2:
            raise SearchSpaceError(f"{where}: primitives: expected at least 2, got {self.primitives}")
        names = [term.name for term in self.terms]
        if len(set(names)) != len(names):
            raise SearchSpaceError(f"{where}: terms: names must differ, got {names}")
        references = [term.name for term in self.terms if term.reference]
        if len(references) != 1:
            raise SearchSpaceError(f"{where}: terms: expected one with reference: true, got {references}")
        levels = self.topology.min_levels or choices.largest.levels
        for term in self.terms:
            if not 0 <= term.level <= levels:
                raise SearchSpaceError(f"{where}: terms.{term.name}.level: expected 0 to {levels}, got {term.level}")
        if not _is_range(self.learning_rate):
            raise SearchSpaceError(
                f"{where}: learning_rate: expected [low, high], 0 < low < high, got {self.learning_rate}"
            )

    @cached_property
    def choices(self) -> Choices:
        """What a search chooses among: alpha's rows."""
        return Choices(self.architecture, self.primitives, self.topology)

    def named_network(self, name: str) -> dict[str, Any]:
        """A network by name, as `networks.build_network` takes it, with this space's architecture."""
        return {"name": name, "architecture": asdict(self.architecture)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, dims: int | None = None) -> "SearchSpace":
        """From the plain values of a file; `dims` (2 or 3, from the data) replaces the architecture's.

        Raises:
            SearchSpaceError: for unknown keys, kinds and primitives, naming the nearest known one.
        """
        name = str(values.get("name", "unnamed"))
        _known(values, cls, f"search space {name}")
        given = architecture_from_dict(values.get("architecture", {}))
        architecture = given if dims is None else replace(given, dims=dims)
        terms = values.get("terms")
        if not isinstance(terms, list) or not terms:
            raise SearchSpaceError(f"search space {name}: terms: expected a list of terms, got {terms!r}")
        primitives = values.get("primitives") or []
        if not isinstance(primitives, list):
            raise SearchSpaceError(f"search space {name}: primitives: expected a list of names, got {primitives!r}")
        rate = values.get("learning_rate", cls.learning_rate)
        return cls(
            name=name,
            architecture=architecture,
            primitives=tuple(primitives),
            terms=tuple(term_from_dict(term, name) for term in terms),
            topology=topology_from_dict(values.get("topology", {})),
            learning_rate=tuple(rate) if isinstance(rate, list) else rate,
        )


def term_from_dict(values: Mapping[str, Any], space: str) -> Term:
    """A term from plain values. Raises SearchSpaceError naming an unknown key."""
    _known(values, Term, f"search space {space}: terms")
    try:
        return Term(**values)
    except TypeError as error:
        raise SearchSpaceError(f"search space {space}: terms: {error}") from error


def _known(values: Mapping[str, Any], kind: type, where: str) -> None:
    if not isinstance(values, Mapping):
        raise SearchSpaceError(f"{where}: expected keys and values, got {values!r}")
    names = [f.name for f in fields(kind)]
    for key in values:
        if key not in names:
            raise SearchSpaceError(f"{where}: unknown key {key!r}{_hint(key, names)}")


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, tuple) and all(isinstance(v, (int, float)) for v in value)
    return numbers and len(value) == 2 and 0 < value[0] < value[1]


def _hint(name: object, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f"; known: {', '.join(known)}"

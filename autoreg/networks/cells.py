"""How the edges of a cell are wired: which there are, and what becomes of their outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from torch import nn

from autoreg.extensions import check_new


@dataclass(frozen=True)
class Edge:
    """A place in a cell where one primitive is chosen."""

    name: str
    c_in: int
    c_out: int
    stride: int = 1
    at_input: bool = False
    """Whether it reads what the cell gets; others read what edges before them gave."""


EdgesOfCell = Callable[[int, Sequence[int], int], list[Edge]]
"""(channels that the cell gets, channels by edge, stride) -> its edges, named within the cell."""


@dataclass(frozen=True)
class Cell:
    """A way of wiring edges; the last of the given channels are those that the cell gives."""

    edges: EdgesOfCell
    build: Callable[[list[nn.Module]], nn.Module]
    """Modules of the edges, in their order -> (b, c_in, *s) to (b, channels[-1], *s / stride)."""


def chain(c_in: int, channels: Sequence[int], stride: int) -> list[Edge]:
    """One edge after the other; the first has the stride."""
    pairs = pairwise((c_in, *channels))
    return [Edge(str(i), a, b, 1 if i else stride, at_input=i == 0) for i, (a, b) in enumerate(pairs)]


CELLS: dict[str, Cell] = {"chain": Cell(chain, lambda edges: nn.Sequential(*edges))}


Wiring = TypeVar("Wiring", bound=Callable[[list[nn.Module]], nn.Module])


def register_cell(name: str, *, edges: EdgesOfCell = chain) -> Callable[[Wiring], Wiring]:
    """Decorator: makes a module class, or a function to a module, of the edges' modules a `cell` of architectures.

    The module maps (b, c_in, *s) to (b, channels[-1], *s / stride). It must treat channels alike, so that one that is
    zero stays zero: then a search of channel widths and connections gives the network that it searched.

    Args:
        edges: which edges the cell has; by default those of a chain.

    Raises:
        ValueError: the name is taken.
    """
    check_new("cell", name, CELLS)

    def keep(build: Wiring) -> Wiring:
        CELLS[name] = Cell(edges, build)
        return build

    return keep

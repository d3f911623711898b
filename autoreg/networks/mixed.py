"""The relaxation of a choice: gates over the primitives of an edge, and the edge that mixes them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoreg.networks.architecture import Edge
from autoreg.networks.primitives import make_primitive


@dataclass(frozen=True)
class Gate:
    """Weights of an edge's primitives, and which of them are computed at all."""

    weights: Tensor
    """(primitives,) differentiable with respect to alpha."""
    active: tuple[int, ...]


def softmax_gates(alpha: Tensor, generator: torch.Generator) -> list[Gate]:
    """Every primitive, weighted by softmax(alpha) of length 1. alpha: (edges, primitives).

    Reference: Liu et al., DARTS, arXiv:1806.09055, equation 2. Divided by its norm: the mean of P unlike
    outputs is sqrt(P) times smaller than one of them, at every edge of a chain that has no normalisation layer. A
    decided edge has weight 1 as in the derived network.
    """
    everything = tuple(range(alpha.shape[1]))
    rows = alpha.softmax(dim=1)
    return [Gate(row, everything) for row in rows / rows.norm(dim=1, keepdim=True)]


def single_path_gates(alpha: Tensor, generator: torch.Generator) -> list[Gate]:
    """One primitive an edge, drawn from softmax(alpha), with a straight-through gate of value 1.

    Costs what a derived network costs. Reference: Dong and Yang, GDAS, arXiv:1910.04465, equations 3 to 6.
    """
    probabilities = alpha.softmax(dim=1)
    drawn = torch.multinomial(probabilities.detach().cpu(), 1, generator=generator).squeeze(1).tolist()
    gates = []
    for row, index in zip(probabilities, drawn, strict=True):
        gates.append(Gate(1.0 + (row - row.detach()), (index,)))  # the brackets make it exactly 1
    return gates


Relaxation = Callable[[Tensor, torch.Generator], list[Gate]]
RELAXATIONS: dict[str, Relaxation] = {"softmax": softmax_gates, "single-path": single_path_gates}


class MixedOp(nn.Module):
    """All primitives of an edge; the output is their sum weighted by the gate that the supernet has set."""

    def __init__(self, edge: Edge, dims: int, primitives: tuple[str, ...]) -> None:
        super().__init__()
        self.choices = nn.ModuleList(
            make_primitive(name, dims, edge.c_in, edge.c_out, stride=edge.stride) for name in primitives
        )
        self.gate: Gate | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            raise ValueError("a mixed operation runs only inside a supernet, which sets its gate")
        first, *rest = self.gate.active
        out = self.gate.weights[first] * self.choices[first](x)
        for index in rest:
            out = out + self.gate.weights[index] * self.choices[index](x)
        return out

"""The relaxation of a choice: gates over the options, and the edge that mixes its primitives by them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from autoreg.networks.cells import Edge
from autoreg.networks.merging import Convolution, merged_sum
from autoreg.networks.primitives import SLOPE, Activated, SeparableConv, make_primitive, over_channels
from autoreg.networks.recomputing import run_part

ACTIVATIONS = ("inside", "after_sum")
PARTIAL = 4
"""`partial-channel` mixes one channel in so many, as Xu et al. do on CIFAR-10,"""
NARROWEST = 8
"""but no fewer than these: on a CPU a convolution of four channels takes longer than one of eight."""


@dataclass(frozen=True)
class Gate:
    """Weights of a choice's options, and which of them are computed at all."""

    weights: Tensor
    """(options,) differentiable with respect to alpha."""
    active: tuple[int, ...]


def softmax_gates(alpha: Tensor, generator: torch.Generator) -> list[Gate]:
    """Every option, weighted by softmax(alpha) of length 1. alpha: (choices, options); -inf is no option.

    Reference: Liu et al., DARTS, arXiv:1806.09055, equation 2. Divided by its norm: the mean of P unlike
    outputs is sqrt(P) times smaller than one of them, at every edge of a chain that has no normalisation layer. A
    decided edge has weight 1 as in the derived network.
    """
    rows = alpha.softmax(dim=1)
    there = (alpha.detach() > -torch.inf).tolist()
    active = [tuple(i for i, is_there in enumerate(row) if is_there) for row in there]
    return [Gate(row, options) for row, options in zip(rows / rows.norm(dim=1, keepdim=True), active, strict=True)]


def single_path_gates(alpha: Tensor, generator: torch.Generator) -> list[Gate]:
    """One option a choice, drawn from softmax(alpha), with straight-through gates: 1 for it, 0 for the others.

    Costs what a derived network costs. Reference: Dong and Yang, GDAS, arXiv:1910.04465, equations 3 to 6.
    """
    probabilities = alpha.softmax(dim=1)
    drawn = torch.multinomial(probabilities.detach().cpu(), 1, generator=generator).squeeze(1).tolist()
    one_hot = torch.nn.functional.one_hot(torch.tensor(drawn), alpha.shape[1]).to(alpha)
    rows = one_hot + (probabilities - probabilities.detach())  # the brackets make it exactly 0 and 1
    return [Gate(row, (index,)) for row, index in zip(rows, drawn, strict=True)]


Relaxation = Callable[[Tensor, torch.Generator], list[Gate]]
RELAXATIONS: dict[str, Relaxation] = {
    "softmax": softmax_gates,
    "single-path": single_path_gates,
    "partial-channel": softmax_gates,  # of a supernet whose edges mix a part of their channels
}


class MixedOp(nn.Module):
    """All primitives of an edge; the output is their sum weighted by the gate that the supernet has set.

    With `activation="after_sum"` primitives that end in the same activation are summed before it and activated once;
    those that are one convolution are then merged (`networks.merging`). A decided edge is the same either way.

    With `partial=k` primitives of n(c_in) -> n(c_out) channels, n(c) = min(c, max(ceil(c/k), 8)), see n(c_in) of the
    input's channels, evenly spread. The others go past them: unchanged where as many must come out and the grid stays,
    else through one convolution of kernel 1 with its activation, which no option owns. The output is both, mixed
    channels first; since channels are taken evenly, the next edge sees some of each. Where none could go past, all are
    mixed.
    Reference: Xu et al., PC-DARTS, arXiv:1907.05737, section 3.2 (there inputs and outputs have equally many channels).
    """

    recomputes = False
    """Whether what the primitives give is computed again on the way back, with the same gate."""

    def __init__(
        self,
        edge: Edge,
        dims: int,
        primitives: tuple[str, ...],
        *,
        activation: str = "inside",
        partial: int = 1,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.taken: Tensor
        self.others: Tensor
        mixed, past = _parts(edge, partial)
        self.past = _way_past(past, dims) if past else None
        taken = [i * edge.c_in // mixed.c_in for i in range(mixed.c_in)]
        self.register_buffer("taken", torch.tensor(taken), persistent=False)
        self.register_buffer("others", torch.tensor(sorted({*range(edge.c_in)} - {*taken})), persistent=False)
        self.choices = nn.ModuleList(
            make_primitive(name, dims, mixed.c_in, mixed.c_out, stride=mixed.stride) for name in primitives
        )
        self.gate: Gate | None = None
        self.inner: Tensor | None = None
        """(c_in,) factors that the input's channels came with, for inner channels that stand for them."""
        self.width: Tensor | None = None
        """(c_out,) factors of the output's channels."""

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            raise ValueError("a mixed operation runs only inside a supernet, which sets its gate")
        if self.past is None:
            out = self._run(x, self.gate, self.inner)
        else:
            inner = None if self.inner is None else self.inner[self.taken]
            mixed = self._run(x.index_select(1, self.taken), self.gate, inner)
            out = torch.cat([mixed, self.past(x.index_select(1, self.others))], dim=1)
        return out if self.width is None else out * over_channels(self.width, out)

    def _run(self, x: Tensor, gate: Gate, inner: Tensor | None) -> Tensor:
        return run_part(self._sum, x, gate, inner, recomputes=self.recomputes)

    def _sum(self, x: Tensor, gate: Gate, inner: Tensor | None) -> Tensor:
        choices = [(self.choices[i], gate.weights[i]) for i in gate.active]
        if self.activation == "inside":
            return _total([weight * _run(choice, x, inner) for choice, weight in choices])
        late = [(choice, weight) for choice, weight in choices if isinstance(choice, Activated)]
        outputs = [weight * _run(choice, x, inner) for choice, weight in choices if not isinstance(choice, Activated)]
        if late:
            outputs.append(torch.nn.functional.leaky_relu(_sum_before_activation(late, x, inner), SLOPE))
        return _total(outputs)


def _sum_before_activation(choices: Sequence[tuple[Activated, Tensor]], x: Tensor, inner: Tensor | None) -> Tensor:
    linear: list[tuple[Convolution, Tensor]] = []
    outputs: list[Tensor] = []
    for choice, weight in choices:
        if choice.convolution is None:
            outputs.append(weight * choice.before_activation(x, inner))
        else:
            linear.append((choice.convolution, weight))
    if linear:
        outputs += merged_sum(x, *zip(*linear, strict=True))
    return _total(outputs)


def _run(choice: nn.Module, x: Tensor, inner: Tensor | None) -> Tensor:
    return choice(x, inner) if isinstance(choice, SeparableConv) else choice(x)


def _total(outputs: Sequence[Tensor]) -> Tensor:
    total, *rest = outputs
    for output in rest:
        total = total + output
    return total


def _parts(edge: Edge, partial: int) -> tuple[Edge, Edge | None]:
    """The edge that is mixed, and the one that the other channels take past it (None: there are none)."""
    c_in, c_out = (min(c, max(-(-c // partial), NARROWEST)) for c in (edge.c_in, edge.c_out))
    mixed = replace(edge, c_in=c_in, c_out=c_out)
    past = replace(edge, c_in=edge.c_in - mixed.c_in, c_out=edge.c_out - mixed.c_out)
    return (mixed, past) if partial > 1 and past.c_in and past.c_out else (edge, None)


def _way_past(edge: Edge, dims: int) -> nn.Module:
    if edge.c_in == edge.c_out and edge.stride == 1:
        return nn.Identity()
    return make_primitive("conv1", dims, edge.c_in, edge.c_out, stride=edge.stride)

"""The network that holds every choice at once, used only while searching."""

from collections.abc import Sequence

from torch import nn

from autoreg.networks.cells import Edge
from autoreg.networks.choices import Choices
from autoreg.networks.mixed import PARTIAL, Gate, MixedOp
from autoreg.networks.registration import DeformationCell, Registration, RegistrationNetwork
from autoreg.networks.structure import GatedCell, Masks
from autoreg.shapes import Image


def recompute_activations(network: nn.Module) -> None:
    """Let a network keep less: a supernet within edges, another pyramid within cells; VoxelMorph stays as it is.

    Edges, since that is where a supernet has many activations of the same inputs, and since their gates are gone when
    a whole cell runs again.
    """
    mixed = [module for module in network.modules() if isinstance(module, MixedOp)]
    for module in mixed or [module for module in network.modules() if isinstance(module, RegistrationNetwork)]:
        module.recomputes = True


class Supernet(nn.Module):
    """A registration network with a mixed operation on every edge, and gates where its structure is searched.

    Args:
        choices: alpha's rows.
        relaxation: name in `RELAXATIONS`; `partial-channel` builds narrow primitives.
        activation: whether primitives are activated before they are summed or, where possible, after it.
    """

    def __init__(self, choices: Choices, *, relaxation: str = "softmax", activation: str = "inside") -> None:
        super().__init__()
        self.choices = choices
        largest = choices.largest
        partial = PARTIAL if relaxation == "partial-channel" else 1
        mixed: dict[str, MixedOp] = {}

        def mixed_edge(edge: Edge) -> MixedOp:
            mixed[edge.name] = MixedOp(edge, largest.dims, choices.primitives, activation=activation, partial=partial)
            return mixed[edge.name]

        self.network = RegistrationNetwork(largest, mixed_edge, GatedCell if choices.structure else DeformationCell)
        self._mixed = {edge.name: mixed[edge.name] for edge in choices.edges}

    @property
    def multiple(self) -> int:
        return self.network.multiple

    def forward(self, fixed: Image, moving: Image, gates: Sequence[Gate]) -> Registration:
        """Registration of a pair with the given gate of every choice, in the order of `Choices.rows`."""
        edges = len(self._mixed)
        for op, gate in zip(self._mixed.values(), gates[:edges], strict=True):
            op.gate = gate
        self._put(self.choices.gating.masks(gates[edges:]))
        try:
            return self.network(fixed, moving)
        finally:
            for op in self._mixed.values():
                op.gate = None
            self._put(Masks())

    def _put(self, masks: Masks) -> None:
        for name, op in self._mixed.items():
            op.width, op.inner = masks.outputs.get(name), masks.inner.get(name)
        for level, cell in enumerate(self.network.deformations, start=1):
            if isinstance(cell, GatedCell):
                cell.seen, cell.on = masks.seen.get(level), masks.on.get(level)

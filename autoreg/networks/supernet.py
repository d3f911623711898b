"""The network that holds every choice at once, used only while searching."""

from collections.abc import Sequence

from torch import nn

from autoreg.networks.architecture import Architecture, Edge
from autoreg.networks.mixed import PARTIAL, Activation, Gate, MixedOp
from autoreg.networks.registration import Registration, RegistrationNetwork
from autoreg.shapes import Image


class Supernet(nn.Module):
    """A registration network with a mixed operation on every edge.

    Args:
        architecture: structure; its edges are alpha's rows.
        primitives: names of the choices; alpha's columns.
        relaxation: name in `RELAXATIONS`; `partial-channel` builds narrow primitives.
        activation: whether primitives are activated before they are summed or, where possible, after it.
    """

    def __init__(
        self,
        architecture: Architecture,
        primitives: Sequence[str],
        *,
        relaxation: str = "softmax",
        activation: Activation = "inside",
    ) -> None:
        super().__init__()
        self.primitives = tuple(primitives)
        self.edge_names = [edge.name for edge in architecture.edges()]
        mixed: dict[str, MixedOp] = {}
        partial = PARTIAL if relaxation == "partial-channel" else 1

        def mixed_edge(edge: Edge) -> MixedOp:
            mixed[edge.name] = MixedOp(edge, architecture.dims, self.primitives, activation=activation, partial=partial)
            return mixed[edge.name]

        self.network = RegistrationNetwork(architecture, mixed_edge)
        self._mixed = [mixed[name] for name in self.edge_names]

    @property
    def multiple(self) -> int:
        return self.network.multiple

    def forward(self, fixed: Image, moving: Image, gates: Sequence[Gate]) -> Registration:
        """Registration of a pair with the given gate on every edge (in the order of `edge_names`)."""
        for op, gate in zip(self._mixed, gates, strict=True):
            op.gate = gate
        try:
            return self.network(fixed, moving)
        finally:
            for op in self._mixed:
                op.gate = None

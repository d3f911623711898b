"""How a network's weights are learned, where it takes more than descending the registration objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Learning:
    """What a network says of its own training, as its attribute `learning`.

    Such a network is called in training with `seeds`, a number a pair from which all its randomness comes; without,
    as in every evaluation, it must be deterministic.
    """

    terms: Mapping[str, float] = field(default_factory=dict[str, float])
    """Terms of its own, which a training call returns in `Registration.own`, with their fixed weights: added to the
    registration objective, and not searched."""
    turns: tuple[tuple[str, ...], ...] = ()
    """Groups of weights, by the beginnings of their names, that learn in turn, a step each; the others rest."""

    def resting(self, network: nn.Module, step: int) -> dict[str, Tensor]:
        """Weights that do not learn at this step, cut off from their gradients."""
        if not self.turns:
            return {}
        learns = self.turns[step % len(self.turns)]
        return {name: p.detach() for name, p in network.named_parameters() if not name.startswith(learns)}


def learning_of(network: nn.Module) -> Learning | None:
    """What the network says, or None if it just descends the objective."""
    return getattr(network, "learning", None)

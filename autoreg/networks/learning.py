"""How a network's weights are learned, where it takes more than descending the registration objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Turn:
    """One of several levels that learn in turn, a step each, while the others rest."""

    weights: tuple[str, ...]
    """Beginnings of the names of its weights."""
    terms: tuple[str, ...]
    """The network's own terms that are for this level."""


@dataclass(frozen=True)
class Learning:
    """What a network says of its own training, as its attribute `learning`.

    Such a network is called in training with `seeds`, a number a pair from which all its randomness comes; without,
    as in every evaluation, it must be deterministic. No gradient may be stopped inside it: hypergradients also go by
    finite differences, which do not see that.
    """

    terms: Mapping[str, float] = field(default_factory=dict[str, float])
    """Terms of its own, which a training call returns in `Registration.own`, with their fixed weights: added to the
    registration objective, and not searched."""
    turns: tuple[Turn, ...] = ()

    def resting(self, network: nn.Module, step: int) -> dict[str, Tensor]:
        """Weights that do not learn at this step, cut off from their gradients."""
        if not self.turns:
            return {}
        learns = self._turn(step).weights
        return {name: p.detach() for name, p in network.named_parameters() if not name.startswith(learns)}

    def own_terms(self, own: Mapping[str, Tensor], step: int) -> list[Tensor]:
        """The network's own terms in the order of `terms`, each (b,); 0 in the turn of a level they are not for."""
        counted = self._turn(step).terms if self.turns else tuple(self.terms)
        return [own[name] if name in counted else torch.zeros_like(own[name]) for name in self.terms]

    def _turn(self, step: int) -> Turn:
        return self.turns[step % len(self.turns)]


def learning_of(network: nn.Module) -> Learning | None:
    """What the network says, or None if it just descends the objective."""
    return getattr(network, "learning", None)

"""Who enters the last round of a search: the searched choices, and the defaults that they must beat.

The supernet says how a primitive did among the others, not alone, and one-step loss weights are right for a short
horizon (Wu et al., arXiv:1803.02021). So each candidate is trained from scratch, briefly, and the best by the score on
the selection pairs is the result of the search.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from autoreg.networks import Genotype
from autoreg.registration.space import SearchSpace


@dataclass(frozen=True)
class Finalist:
    """A candidate; `name` says where architecture and loss weights come from."""

    name: str
    genotype: Genotype
    loss_weights: dict[str, float]


def finalists(
    space: SearchSpace,
    genotypes: Mapping[str, Genotype],
    loss_weights: dict[str, float],
    *,
    default: Genotype,
    count: int,
) -> list[Finalist]:
    """The first `count` of: each searched architecture, the default one, and the default without searched loss weights.

    Default loss weights are the starts of the space's terms. What is the same as an earlier one is left out.
    """
    starts = {term.name: 1.0 if term.reference else term.start for term in space.terms}
    every = [Finalist(name, genotype, loss_weights) for name, genotype in genotypes.items()]
    every += [Finalist("default architecture", default, loss_weights), Finalist("default", default, starts)]
    different = [f for i, f in enumerate(every) if not any(_same(f, earlier) for earlier in every[:i])]
    return different[:count]


def _same(a: Finalist, b: Finalist) -> bool:
    return a.genotype.edges == b.genotype.edges and a.loss_weights == b.loss_weights

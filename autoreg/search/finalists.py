"""Who enters the last round of a search: the searched choices, and the defaults that they must beat.

Argmax over alpha says how an edge did inside the supernet, not alone, and one-step loss weights are right for a short
horizon (Wu et al., arXiv:1803.02021). So each candidate is trained from scratch, briefly, and the best by the score on
the selection pairs is the result of the search.
"""

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
    space: SearchSpace, genotype: Genotype, loss_weights: dict[str, float], *, default: Genotype, count: int
) -> list[Finalist]:
    """The first `count` of {searched, default} architecture x {searched, default} loss weights, without doubles.

    Default loss weights are the starts of the space's terms.
    """
    starts = {term.name: 1.0 if term.reference else term.start for term in space.terms}
    every = [
        Finalist("searched", genotype, loss_weights),
        Finalist("default architecture", default, loss_weights),
        Finalist("default loss weights", genotype, starts),
        Finalist("default", default, starts),
    ]
    different = [f for i, f in enumerate(every) if not any(_same(f, earlier) for earlier in every[:i])]
    return different[:count]


def _same(a: Finalist, b: Finalist) -> bool:
    return a.genotype.edges == b.genotype.edges and a.loss_weights == b.loss_weights

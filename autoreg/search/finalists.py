"""Who is trained briefly in the end of a search: the searched choices, and the defaults that they must beat.

The supernet says how a primitive did among the others, not alone, and one-step loss weights are right for a short
horizon (Wu et al., arXiv:1803.02021). So candidates are trained from scratch, briefly, and the best by the score on
the selection pairs is the result of the search: first among architectures, then among loss weights for the winner.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from autoreg.losses import SMOOTHNESS
from autoreg.networks import Genotype
from autoreg.registration.space import SearchSpace


@dataclass(frozen=True)
class Finalist:
    """A candidate; `name` says where it comes from."""

    name: str
    genotype: Genotype | None
    """None where the network was fixed by name."""
    loss_weights: dict[str, float]


def architectures(
    genotypes: Mapping[str, Genotype], loss_weights: dict[str, float], default: Genotype
) -> list[Finalist]:
    """Every searched architecture and the default one, with the searched loss weights; equals enter once."""
    every = [Finalist(name, genotype, loss_weights) for name, genotype in genotypes.items()]
    return _different([*every, Finalist("default architecture", default, loss_weights)])


def loss_weights_around(space: SearchSpace, winner: Finalist) -> list[Finalist]:
    """The winner, with loss weights twice as far from the starts as the search went (in log), and with the starts.

    A search of few rounds often stops on the way; going on in its direction costs one brief training to try. Regularity
    (smoothness, folding) keeps its proportion to the term that grows most: how much a long training needs of it, no
    short one can tell.
    """
    starts = {term.name: 1.0 if term.reference else term.start for term in space.terms}
    searched = winner.loss_weights
    growth = {t.name: searched[t.name] / t.start for t in space.terms if not t.reference and t.kind not in SMOOTHNESS}
    most = max([1.0, *growth.values()])
    farther = dict(searched)
    for term in space.terms:
        if not term.reference:
            farther[term.name] = min(max(searched[term.name] * growth.get(term.name, most), term.low), term.high)
    return _different(
        [
            winner,
            Finalist("loss weights twice as far", winner.genotype, farther),
            Finalist("default loss weights", winner.genotype, starts),
        ]
    )[1:]


def _different(finalists: list[Finalist]) -> list[Finalist]:
    def same(a: Finalist, b: Finalist) -> bool:
        return a.genotype == b.genotype and a.loss_weights == b.loss_weights

    return [f for i, f in enumerate(finalists) if not any(same(f, earlier) for earlier in finalists[:i])]

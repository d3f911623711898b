"""Who is trained briefly in the end of a search: the searched choices, and the defaults that they must beat.

The supernet says how a primitive did among the others, not alone, and one-step loss weights are right for a short
horizon (Wu et al., arXiv:1803.02021). So candidates begin their final training, and the best by the score on the
selection pairs is the result of the search.
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

    def same_as(self, other: "Finalist") -> bool:
        """Whether training the other one gives the same."""
        return self.genotype == other.genotype and self.loss_weights == other.loss_weights


def architectures(
    genotypes: Mapping[str, Genotype], loss_weights: dict[str, float], default: Genotype
) -> list[Finalist]:
    """Every searched architecture and the default one, with the searched loss weights; equals enter once."""
    every = [Finalist(name, genotype, loss_weights) for name, genotype in genotypes.items()]
    return different([*every, Finalist("default architecture", default, loss_weights)])


def loss_weights_along(space: SearchSpace, finalist: Finalist, times: int) -> Finalist:
    """The finalist with loss weights so many times as far from the starts as the search went (in log); 0: the starts.

    A search of few rounds often stops on the way; going on in its direction costs the begin of a training to try.
    Regularity (smoothness, folding) grows by the root of what the term grows that grows most, beyond its own way: how
    much a long training needs of it no short one can tell, and while nothing folds the hypergradient sees none of it.
    """
    starts = {term.name: 1.0 if term.reference else term.start for term in space.terms}
    if times == 0:
        return Finalist("default loss weights", finalist.genotype, starts)
    searched = finalist.loss_weights
    growth = {t.name: searched[t.name] / t.start for t in space.terms if not t.reference and t.kind not in SMOOTHNESS}
    most = max([1.0, *growth.values()])
    farther = dict(searched)
    for term in space.terms:
        if not term.reference:
            own = growth.get(term.name)
            moved = searched[term.name] * (most ** (times / 2) if own is None else own ** (times - 1))
            farther[term.name] = min(max(moved, term.low), term.high)
    return Finalist(f"loss weights {times} times as far", finalist.genotype, farther)


def different(finalists: list[Finalist]) -> list[Finalist]:
    """The first of those that are the same."""
    return [f for i, f in enumerate(finalists) if not any(f.same_as(earlier) for earlier in finalists[:i])]

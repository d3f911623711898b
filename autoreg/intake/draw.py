"""Who is in train, val and test."""

from collections.abc import Mapping, Sequence

import numpy as np

from autoreg.data.dataset import SPLITS
from autoreg.errors import InputError

_PAIR = 2  # people needed to make a pair
_MOST_LABELLED = 1 / 3  # of those with label maps, for val and for test, where others have none


def check_fractions(fractions: Sequence[float]) -> None:
    """Raises InputError if these are not the shares of train, val and test."""
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or fractions[0] == 0 or abs(sum(fractions) - 1) > 1e-6:
        given = ",".join(f"{fraction:g}" for fraction in fractions)
        raise InputError(f"--split: expected three shares of train, val, test that sum to 1, got {given}")


def draw_splits(
    people: Mapping[str, bool], fractions: Sequence[float], seed: int
) -> tuple[dict[str, list[str]], list[str]]:
    """People by split, sorted, and what to say about it. The same for the same people, fractions and seed.

    val and test take people with label maps first, as models are chosen and judged by them, and two at least. With
    too few people val is left out first, then test: AutoReg deals the train list out to whatever needs subjects.

    Args:
        people: whether there are label maps, by person.
        fractions: of train, val and test.
    """
    labelled = sorted(person for person, has in people.items() if has)
    others = sorted(person for person, has in people.items() if not has)
    random = np.random.default_rng(seed)
    order = [group[index] for group in (labelled, others) for index in random.permutation(len(group))]
    most = len(order) if not labelled or not others else max(_PAIR, int(_MOST_LABELLED * len(labelled)))
    sizes = [min(most, max(_PAIR, round(share * len(order)))) if share else 0 for share in fractions[1:]]
    notes = []
    for index, split in enumerate(SPLITS[1:]):
        if sizes[index] and len(order) - sum(sizes) < _PAIR:
            sizes[index] = 0
            notes.append(f"{split} is empty: {len(order)} people are too few for it")
    val, test = sizes
    chosen = {"train": order[val + test :], "val": order[:val], "test": order[val : val + test]}
    return {split: sorted(subjects) for split, subjects in chosen.items()}, notes

"""The endless stream of training pairs, as a function of seed and step."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from autoreg.data.dataset import Dataset
from autoreg.errors import DataError


def all_pairs(
    dataset: Dataset,
    subjects: Iterable[str],
    *,
    fixed_modality: str | None = None,
    moving_modality: str | None = None,
) -> list[tuple[str, str]]:
    """All ordered (fixed, moving) keys of different people among `subjects`, sorted.

    A modality left out is the dataset's configured one, or the only one.
    """
    return dataset.all_pairs(subjects, fixed_modality=fixed_modality, moving_modality=moving_modality)


class PairSampler:
    """Pairs of different people; which ones depends on seed and position alone, so resuming needs no state.

    An epoch has as many pairs as there are subjects, and each subject is the fixed side once in it.

    Example:
        sampler = PairSampler(dataset, roles.weights, seed=0)
        sampler.batch(17, 4)  # the same four pairs whenever and wherever it is asked

    Raises:
        DataError: if the subjects are fewer than two people, or one lacks the modality asked for.
    """

    def __init__(
        self,
        dataset: Dataset,
        subjects: Iterable[str],
        *,
        seed: int,
        fixed_modality: str | None = None,
        moving_modality: str | None = None,
    ) -> None:
        ids = sorted(set(subjects))
        fixed = fixed_modality or dataset.config.fixed_modality
        moving = moving_modality or dataset.config.moving_modality
        self._fixed = [dataset.key(subject, fixed) for subject in ids]
        self._moving = [dataset.key(subject, moving) for subject in ids]
        self._people = [dataset.people[subject] for subject in ids]
        self._seed = seed
        if len(set(self._people)) < 2:
            raise DataError(
                f"{dataset.path}: subjects to pair: expected two people or more, got {', '.join(ids) or 'none'}"
            )

    def __len__(self) -> int:
        """Pairs in an epoch."""
        return len(self._fixed)

    def pair(self, index: int) -> tuple[str, str]:
        """(fixed, moving) keys at a place of the stream, counted from 0."""
        epoch, place = divmod(index, len(self))
        rng = np.random.default_rng([self._seed, epoch])
        fixed = rng.permutation(len(self))[place]
        # From the same place in a second permutation on, the first who is somebody else.
        candidates = np.roll(rng.permutation(len(self)), -place)
        moving = next(m for m in candidates if self._people[m] != self._people[fixed])
        return self._fixed[fixed], self._moving[moving]

    def batch(self, step: int, size: int) -> list[tuple[str, str]]:
        """The `size` pairs of a step; steps of any size read the same stream."""
        return [self.pair(step * size + place) for place in range(size)]


@dataclass(frozen=True)
class Then:
    """One sampler's pairs in the first steps, another's after them."""

    first: PairSampler
    steps: int
    second: PairSampler

    def batch(self, step: int, size: int) -> list[tuple[str, str]]:
        """(fixed, moving) keys."""
        return (self.first if step < self.steps else self.second).batch(step, size)

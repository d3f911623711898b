"""A system of a study: a name, and what makes a finished, evaluated folder of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoreg.errors import AutoRegError, DivergedError, StorageError
from autoreg.studies.shared import Bench, device_seconds

AUTOREG = "AutoReg"


@dataclass(frozen=True)
class Outcome:
    """An evaluated run, and what it cost to get there by phase, in device-seconds."""

    folder: Path
    device_seconds: Mapping[str, float]


Made = Outcome | str
"""What came of a system; text says why nothing did. A failed system is a result of its study, no reason to stop it."""


@dataclass(frozen=True)
class System:
    """A row of a study's table.

    Attributes:
        make: the outcome for a task and seed; finished parts are found, not repeated.
        seeded: whether another seed gives another result.
    """

    name: str
    make: Callable[[Bench], Made]
    seeded: bool = True


def trained(network: str) -> System:
    """A network by name, with the search space's default loss weights."""
    return System(network, lambda bench: _outcome_of(lambda: bench.train(network=network)))


def searched(name: str = AUTOREG, *, network: str | None = None) -> System:
    """A search and the training of what it found; with `network`, of that network's loss weights alone."""
    return System(name, lambda bench: _outcome_of(lambda: bench.train(search=bench.search(network))))


def classical(peer: str) -> System:
    """A peer without training."""

    def make(bench: Bench) -> Made:
        try:
            folder = bench.classical(peer)
        except StorageError:
            raise
        except AutoRegError as error:  # a peer that cannot take these images
            return str(error)
        return Outcome(folder, device_seconds(folder))

    return System(peer, make, seeded=False)


def _outcome_of(make: Callable[[], Path]) -> Made:
    try:
        folder = make()
    except DivergedError as error:
        return str(error)
    return Outcome(folder, device_seconds(folder))

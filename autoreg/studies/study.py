"""What a study is: which systems on which tasks, held against which one, and how the table is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from autoreg.config import Config
from autoreg.reporting.figures import dice_boxes
from autoreg.studies.system import AUTOREG, System
from autoreg.studies.task import Task, whole_datasets

INITIAL = "initial"
"""The row of the pairs as they are, before registration."""


def no_findings(table: pd.DataFrame) -> list[str]:
    """Nothing beyond the tests follows from the table."""
    return []


def boxes(table: pd.DataFrame, pairs: pd.DataFrame) -> Figure:
    """Dice of the test pairs, means over seeds, a box a system of each task."""
    several = pairs["task"].nunique() > 1
    return dice_boxes(pairs.assign(system=pairs["task"] + ": " + pairs["system"] if several else pairs["system"]))


@dataclass(frozen=True)
class Study:
    """One of the project's claims as a list of systems.

    Attributes:
        question: what its table answers.
        systems: from the configuration; the first is made first.
        reference: the system that the paired tests hold the others against.
        tasks: from the configuration and the data sets.
        findings: sentences that follow from the table, beside the tests.
        picture: from the table, and a row a task, system and pair (dice).
    """

    name: str
    question: str
    systems: Callable[[Config], Sequence[System]]
    reference: str = AUTOREG
    tasks: Callable[[Config, Sequence[Path | None]], list[Task]] = whole_datasets
    findings: Callable[[pd.DataFrame], list[str]] = no_findings
    picture: Callable[[pd.DataFrame, pd.DataFrame], Figure] = boxes

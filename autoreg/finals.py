"""The last round of a search: brief trainings decide among the finalists."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoreg.errors import DivergedError
from autoreg.search.finalists import Finalist
from autoreg.search.run import Run, read_result

BriefTraining = Callable[[Finalist, Path, str], None]
"""Trains a finalist into a folder, or what is left of it; the last argument is what to call it."""


def play_off(
    entering: list[Finalist], run: Run, brief_training: BriefTraining
) -> tuple[Finalist, list[dict[str, Any]]]:
    """The best by the score, and a row on each. What it costs is booked as the search's.

    One that diverges is out; when all do, the first is taken.
    """
    if len(entering) == 1:
        return entering[0], []
    rows: list[dict[str, Any]] = []
    for number, finalist in enumerate(entering, start=1):
        folder = run.folder / "finalists" / finalist.name.replace(" ", "-")
        metrics = _played(finalist, folder, brief_training, f"finalist {number} of {len(entering)}")
        seconds = run.journal.ledger.take_over(folder / "cost.jsonl", run.plan.command, key=f"finalist {number}")
        rows.append({"name": finalist.name, **metrics, "device_seconds": seconds})
    scores = [-math.inf if row["score"] is None else float(row["score"]) for row in rows]
    named = {f"finalist.{f.name.replace(' ', '_')}.score": score for f, score in zip(entering, scores, strict=True)}
    run.tracker.metrics({name: score for name, score in named.items() if score > -math.inf}, step=0)
    return entering[scores.index(max(scores))], rows


def _played(finalist: Finalist, folder: Path, brief_training: BriefTraining, name: str) -> dict[str, Any]:
    if not _finished(folder):
        try:
            brief_training(finalist, folder, name)
        except DivergedError as error:
            return {"score": None, "diverged": str(error)}
    return read_result(folder)["metrics"]


def _finished(folder: Path) -> bool:
    return (folder / "result.json").exists() and read_result(folder)["status"] == "finished"

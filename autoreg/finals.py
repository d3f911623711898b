"""The last rounds of a search: brief trainings that decide among finalists, or draw a front around the chosen one."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.errors import AutoRegError, DivergedError
from autoreg.reporting.figures import front_figure
from autoreg.search.finalists import Finalist
from autoreg.search.front import on_front
from autoreg.search.run import Run, is_finished, read_result

BriefTraining = Callable[[Finalist, Path, str], None]
"""Trains a finalist into a folder, or what is left of it; the last argument is what to call it."""


def play_off(
    architectures: Sequence[Finalist],
    loss_weights_around: Callable[[Finalist], Sequence[Finalist]],
    run: Run,
    brief_training: BriefTraining,
    *,
    most: int,
) -> tuple[Finalist, list[dict[str, Any]]]:
    """The best by the score among architectures, then among loss weights for it; and a row on each.

    At most `most` are trained; with one, the first architecture is taken unseen. Costs are the search's. One that
    diverges is out; when all do, the first is taken.
    """
    if most == 1:
        return architectures[0], []
    entered = list(architectures[:most])
    rows = _play(entered, run, brief_training, "finalists")
    others = loss_weights_around(entered[_best(rows)])[: most - len(entered)]
    rows += _play(others, run, brief_training, "finalists", first=len(entered) + 1)
    entered += others
    scores = {f"finalist/{row['name']}": row["score"] for row in rows}
    run.tracker.metrics({name: float(score) for name, score in scores.items() if score is not None}, step=0)
    return entered[_best(rows)], rows


def _best(rows: Sequence[dict[str, Any]]) -> int:
    scores = [-math.inf if row["score"] is None else float(row["score"]) for row in rows]
    return scores.index(max(scores))


def draw_front(
    candidates: Sequence[Finalist],
    run: Run,
    brief_training: BriefTraining,
    measure: Callable[[Path], dict[str, float]],
) -> pd.DataFrame:
    """Train candidates briefly, measure each, and write front.csv and figures/front.png.

    Each candidate's folder, front/NAME, holds its genotype.yaml and loss_weights.yaml, ready for `autoreg train`.

    Args:
        measure: model folder -> dice, hd95_mm, folds_percent, seconds_a_pair on the selection pairs.

    Raises:
        AutoRegError: every candidate diverged.
    """
    rows = _play(candidates, run, brief_training, "front")
    trained = [row for row in rows if row["score"] is not None]
    if not trained:
        raise AutoRegError(f"{run.folder}: front: all {len(rows)} brief trainings diverged")
    table = pd.DataFrame([{"candidate": row["name"], **measure(run.folder / row["folder"])} for row in trained])
    table["on_front"] = on_front(table)
    table["folder"] = [row["folder"] for row in trained]
    table.to_csv(run.folder / "front.csv", index=False)
    pictures = run.folder / "figures"
    pictures.mkdir(exist_ok=True)
    front_figure(table).savefig(pictures / "front.png", dpi=130)
    return table


def _play(
    entering: Sequence[Finalist], run: Run, brief_training: BriefTraining, stage: str, *, first: int = 1
) -> list[dict[str, Any]]:
    """A brief training of each, one after the other; finished ones are read, not repeated."""
    rows: list[dict[str, Any]] = []
    for number, finalist in enumerate(entering, start=first):
        place = Path(stage) / finalist.name.replace(" ", "-")
        metrics = _played(finalist, run.folder / place, brief_training, f"{stage} {number}: {finalist.name}")
        costs = run.folder / place / "cost.jsonl"
        seconds = run.journal.ledger.take_over(costs, run.plan.command, key=f"{stage} {number}")
        rows.append({"name": finalist.name, **metrics, "device_seconds": seconds, "folder": str(place)})
    return rows


def _played(finalist: Finalist, folder: Path, brief_training: BriefTraining, name: str) -> dict[str, Any]:
    if not is_finished(folder):
        try:
            brief_training(finalist, folder, name)
        except DivergedError as error:
            return {"score": None, "diverged": str(error)}
    return read_result(folder)["metrics"]

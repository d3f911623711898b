"""The end of a search: trainings that are begun to decide among finalists, or brief ones around the chosen one."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.errors import AutoRegError, DivergedError
from autoreg.reporting.figures import front_figure
from autoreg.search.finalists import Finalist
from autoreg.search.front import on_front
from autoreg.search.run import Run, is_finished, read_result

Training = Callable[[Finalist, Path, str], None]
"""Trains a finalist into a folder, or what is left of it; the last argument is what to call it."""
LONGER = 4
FirstRounds = Callable[[Finalist, Path, str, int, Path | None], None]
"""The first so many rounds of a training, going on from those in the folder that comes last."""


def play_off(
    architectures: Sequence[Finalist],
    loss_weights_along: Callable[[Finalist, int], Finalist],
    run: Run,
    first_rounds: FirstRounds,
    *,
    most: int,
    rounds: int,
) -> tuple[Finalist, list[dict[str, Any]]]:
    """The best by the score among loss weights, then among architectures with those; and a row on each training.

    Loss weights, `rounds` each, for the first architecture: as searched, twice as far, and while that is the best so
    far twice as far again; where going farther does not pay, the starts. Then the best goes on to LONGER times the
    rounds, against the other architectures (small ones learn fastest, so they are not to be judged early), or where
    there is none against the second best loss weights. At most `most` trainings are begun; with one, the first
    architecture is taken unseen. Costs are the search's. One that diverges is out; when all do, the first is taken.
    """
    if most == 1:
        return architectures[0], []
    others = list(architectures[1:most])
    begin = partial(_begin, first_rounds, rounds, {})
    entered, rows = _line_of_loss_weights(
        architectures[0],
        loss_weights_along,
        lambda one, first: _play([one], run, begin, "finalists", first=first),
        most=most - len(others),
    )
    best = [i for i in _ranked(rows) if rows[i]["score"] is not None]
    earlier = {entered[i].name: run.folder / rows[i]["folder"] for i in best[:2]}
    winner = entered[best[0]] if best else architectures[0]
    others = [replace(other, loss_weights=winner.loss_weights) for other in others] or [entered[i] for i in best[1:2]]
    if others:
        entered = [winner, *others] if best else others
        last = _play(entered, run, partial(_begin, first_rounds, LONGER * rounds, earlier), "final")
        rows += last
        if last[place := _ranked(last)[0]]["score"] is not None:
            winner = entered[place]
    _track(run, rows)
    return winner, rows


def _line_of_loss_weights(
    first: Finalist,
    loss_weights_along: Callable[[Finalist, int], Finalist],
    play: Callable[[Finalist, int], list[dict[str, Any]]],
    *,
    most: int,
) -> tuple[list[Finalist], list[dict[str, Any]]]:
    """Who entered, and their rows: the finalist, and others with its architecture while going farther pays."""
    entered, rows = [first], play(first, 1)
    times: int | None = 2
    while times is not None and len(entered) < most:
        rival = loss_weights_along(first, times)
        new = not any(rival.same_as(other) for other in entered)
        if new:
            entered.append(rival)
            rows += play(rival, len(entered))
        times = _next_times(times, better=new and _ranked(rows)[0] == len(rows) - 1)
    return entered, rows


def _next_times(times: int, *, better: bool) -> int | None:
    """How far to go after so many times."""
    if times == 0:
        return None
    if better:
        return 2 * times
    return 0 if times == 2 else None


def _begin(
    first_rounds: FirstRounds, rounds: int, earlier: Mapping[str, Path], finalist: Finalist, folder: Path, name: str
) -> None:
    first_rounds(finalist, folder, name, rounds, earlier.get(finalist.name))


def _ranked(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Places of the rows, best first; of equals the first."""
    scores = [-math.inf if row["score"] is None else float(row["score"]) for row in rows]
    return sorted(range(len(rows)), key=lambda i: -scores[i])


def _track(run: Run, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        if row["score"] is not None:
            run.tracker.metrics({f"finalist/{row['name']}": float(row["score"])}, step=row.get("steps") or 0)


def draw_front(
    candidates: Sequence[Finalist],
    run: Run,
    brief_training: Training,
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
    entering: Sequence[Finalist], run: Run, training: Training, stage: str, *, first: int = 1
) -> list[dict[str, Any]]:
    """A training of each, one after the other; finished ones are read, not repeated."""
    rows: list[dict[str, Any]] = []
    for number, finalist in enumerate(entering, start=first):
        place = Path(stage) / finalist.name.replace(" ", "-")
        metrics = _played(finalist, run.folder / place, training, f"{stage} {number}: {finalist.name}")
        costs = run.folder / place / "cost.jsonl"
        seconds = run.journal.ledger.take_over(costs, run.plan.command, key=f"{stage} {number}")
        rows.append({"name": finalist.name, **metrics, "device_seconds": seconds, "folder": str(place)})
    return rows


def _played(finalist: Finalist, folder: Path, training: Training, name: str) -> dict[str, Any]:
    if not is_finished(folder):
        try:
            training(finalist, folder, name)
        except DivergedError as error:
            return {"score": None, "diverged": str(error)}
    result = read_result(folder)
    return {"steps": result.get("steps")} | result["metrics"]

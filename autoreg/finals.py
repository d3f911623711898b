"""The end of a search: trainings that are begun to decide among finalists, or brief ones around the chosen one."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.errors import AutoRegError, DivergedError
from autoreg.files import whole_file
from autoreg.reporting.figures import front_figure, save_png
from autoreg.search.finalists import Finalist, different
from autoreg.search.front import on_front
from autoreg.search.run import Run, is_finished, read_result

DEFAULTS = "defaults"
"""What there is without a search: the default architecture with the loss weights' starts."""
Training = Callable[[Finalist, Path, str], None]
"""Trains a finalist into a folder, or what is left of it; the last argument is what to call it."""
HEATS = (("semi-final", 2), ("final", 4))
"""Name and length, in brief trainings, of what follows them where architectures are at stake."""
SHORT_FINAL = (("final", 2),)
"""The same where loss weights alone are."""
CLOSE = 0.01
"""Differences of the score that brief trainings cannot tell: some 20 pairs, whose Dice spreads by some hundredths."""
IN_LINE = 3
"""As many loss weights are tried: as far as searched, twice, four times."""
IN_FINAL = 2
"""As many go on from the semi-final; where there are no more, it is left out."""
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

    Loss weights, `rounds` each, for the first architecture: as far as searched, twice as far, and while that is
    the best so far or close to it four times as far. Then the farthest that is close to the best goes on, against the
    other architectures with the same loss weights, and against what there is without a search, the last architecture
    with the starts: through a semi-final, and the two best to a final of four times the rounds, since small networks
    learn fast and are not to be judged early. Where all share an architecture the final is of twice the rounds. Should
    what there is without a search win it, the nearer loss weights of the line get as long, the farthest first, until
    one is better: where folds are bounded, labels may pull too far and still be right. At most `most` architectures
    and loss weights enter; with one, the first architecture is taken unseen. Costs are the search's. One that diverges
    is out; when all do, the first is taken.
    """
    if most == 1:
        return architectures[0], []

    def begin(times: int, begun: Mapping[str, Path]) -> Training:
        return partial(_begin, first_rounds, times * rounds, begun)

    entered, rows = _line_of_loss_weights(
        architectures[0],
        loss_weights_along,
        lambda one, first: _play([one], run, begin(1, {}), "finalists", first=first),
        most=min(max(most - len(architectures), 1), IN_LINE),
    )
    best = _farthest(rows)
    winner = entered[best[0]] if best else architectures[0]
    rivals = [replace(other, loss_weights=winner.loss_weights) for other in architectures[1:]]
    rivals.append(replace(loss_weights_along(architectures[-1], 0), name=DEFAULTS))
    last = different([winner, *rivals])[:most] if best else different(rivals)[:most]
    if len(last) > 1 or not best:
        begun = {entered[i].name: run.folder / rows[i]["folder"] for i in best}
        found, first = _heats(last, run, begin, begun)
        rows, winner = rows + found, first or winner
    if winner.name == DEFAULTS and best:
        stage, times = _stages(last)[-1]
        nearer = [i for i in range(best[0]) if rows[i]["score"] is not None]
        line = {entered[i].name: run.folder / rows[i]["folder"] for i in nearer}
        found, first = _nearer(
            [entered[i] for i in nearer],
            lambda one, place: _play([one], run, begin(times, line), stage, first=place),
            to_beat=next((row["score"] for row in rows if row["folder"] == f"{stage}/{DEFAULTS}"), None),
        )
        rows, winner = rows + found, first or winner
    _track(run, rows)
    return winner, rows


def _heats(
    entering: Sequence[Finalist],
    run: Run,
    begin: Callable[[int, Mapping[str, Path]], Training],
    begun: Mapping[str, Path],
) -> tuple[list[dict[str, Any]], Finalist | None]:
    """Rows of the heats, and who was first in the last one; None when all diverged. `begun`: name -> earlier folder."""
    rows: list[dict[str, Any]] = []
    first = None
    for stage, times in _stages(entering):
        found = _play(entering, run, begin(times, begun), stage)
        places = [i for i in _ranked(found) if found[i]["score"] is not None][:IN_FINAL]
        begun = {entering[i].name: run.folder / found[i]["folder"] for i in places}
        entering, rows = [entering[i] for i in places], rows + found
        first = next(iter(entering), first)
    return rows, first


def _nearer(
    line: Sequence[Finalist], play: Callable[[Finalist, int], list[dict[str, Any]]], *, to_beat: float | None
) -> tuple[list[dict[str, Any]], Finalist | None]:
    """Rows of a line's loss weights, the last first, until one is better; and that one. `to_beat`: None diverged."""
    rows: list[dict[str, Any]] = []
    for finalist in reversed(line):
        rows += play(finalist, IN_FINAL + len(rows) + 1)
        score = rows[-1]["score"]
        if score is not None and (to_beat is None or score > to_beat):
            return rows, finalist
    return rows, None


def _stages(entering: Sequence[Finalist]) -> Sequence[tuple[str, int]]:
    if all(finalist.genotype == entering[0].genotype for finalist in entering):
        return SHORT_FINAL
    return HEATS if len(entering) > IN_FINAL else HEATS[-1:]


def _line_of_loss_weights(
    first: Finalist,
    loss_weights_along: Callable[[Finalist, int], Finalist],
    play: Callable[[Finalist, int], list[dict[str, Any]]],
    *,
    most: int,
) -> tuple[list[Finalist], list[dict[str, Any]]]:
    """Who entered, and their rows: the finalist, and others with its architecture while going farther pays."""
    nearest = replace(loss_weights_along(first, 1), name=first.name)
    entered, rows = [nearest], play(nearest, 1)
    while _farthest(rows) in ([], [len(rows) - 1]) and len(entered) < most:
        rival = loss_weights_along(first, 2 ** len(entered))
        if rival.same_as(entered[-1]):
            break
        entered.append(rival)
        rows += play(rival, len(entered))
    return entered, rows


def _begin(
    first_rounds: FirstRounds, rounds: int, earlier: Mapping[str, Path], finalist: Finalist, folder: Path, name: str
) -> None:
    first_rounds(finalist, folder, name, rounds, earlier.get(finalist.name))


def _farthest(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Place of the last row that is close to the best; none where all diverged.

    Of what brief trainings cannot tell apart the farthest is taken, since labels pay late: similarity brings more Dice
    in the first steps.
    """
    scores = {i: float(row["score"]) for i, row in enumerate(rows) if row["score"] is not None}
    return [i for i, score in scores.items() if score >= max(scores.values()) - CLOSE][-1:]


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
    with whole_file(run.folder / "front.csv") as file:
        file.write(table.to_csv(index=False).encode())
    save_png(front_figure(table), run.folder / "figures" / "front.png", dpi=130)
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

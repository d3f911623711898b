"""A model scored on pairs of volumes: a table with a row a pair and label, and its summary."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from autoreg.data.landmarks import PairLandmarks
from autoreg.data.volume import Volume
from autoreg.metrics import dice, folds_percent, folds_percent_central, hd95_mm, sdlogj, sdlogj_learn2reg, tre_mm
from autoreg.registration.model import Model
from autoreg.registration.refine import register_refined
from autoreg.registration.score import warp_labels
from autoreg.shapes import Displacement

logger = logging.getLogger(__name__)
Pair = tuple[str, str]
"""Keys of the fixed and the moving side."""

UNLABELLED = 0
"""Stands in the column `label` of a pair without label maps; its overlap figures are NaN."""

_LABEL_COLUMNS = ("dice", "hd95_mm", "initial_dice", "initial_hd95_mm")
_PAIR_COLUMNS = ("folds_percent", "folds_percent_central", "sdlogj", "sdlogj_learn2reg", "seconds")
_POINT_COLUMNS = ("tre_mm", "initial_tre_mm")


def evaluate_pairs(
    model: Model,
    volumes: Mapping[str, Volume],
    pairs: Sequence[Pair],
    *,
    label_numbers: Sequence[int],
    device: torch.device,
    refine: int = 0,
    points: PairLandmarks | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """`score_pairs` of a model's displacements.

    Args:
        refine: steps of instance optimisation on every pair; their time counts.

    Raises:
        DataError: if the volumes of a pair differ in shape.
        InputError: with `refine`, if the model does not carry what that needs.

    Example:
        frame = evaluate_pairs(load_model("run"), volumes, pairs, label_numbers=[1, 2], device=torch.device("cpu"))
        summary(frame)["test_dice"]
    """

    def register(pair: Pair) -> Displacement:
        displacement = register_refined(model, volumes, pair, steps=refine, device=device)
        if device.type == "cuda":  # kernels are only queued so far
            torch.cuda.synchronize(device)
        return displacement

    return score_pairs(register, volumes, pairs, label_numbers=label_numbers, points=points, progress=progress)


def score_pairs(
    register: Callable[[Pair], Displacement],
    volumes: Mapping[str, Volume],
    pairs: Sequence[Pair],
    *,
    label_numbers: Sequence[int],
    points: PairLandmarks | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """A row a pair and label, in the order of `pairs` and `label_numbers`, whatever registers them.

    Columns: fixed, moving (keys), label (0 where the pair has no label maps), dice (labels warped nearest
    neighbour), hd95_mm, initial_dice, initial_hd95_mm (before registration), folds_percent (digital-diffeomorphism
    count), folds_percent_central, sdlogj, sdlogj_learn2reg, seconds (of `register`; no metric), and if there are
    points tre_mm and initial_tre_mm (means over landmarks). What belongs to the pair is repeated in each of its rows.

    Args:
        register: displacement (1, d, *s) of a pair on the fixed grid; finished when it returns.
        volumes: by key; the two of a pair share a shape.
        pairs: (fixed, moving) keys.
        label_numbers: foreground labels.
        points: landmarks of the pairs; NaN for a pair without any.
        progress: called with pairs done and pairs in all, after each pair.
    """
    rows: list[dict[str, Any]] = []
    for done, pair in enumerate(pairs, start=1):
        started = time.perf_counter()
        displacement = register(pair)
        seconds = time.perf_counter() - started
        of_pair = _figures(displacement) | {"seconds": seconds}
        if points is not None:
            of_pair |= _landmark_errors(displacement, volumes, pair, points)
        fixed, moving = (volumes[key] for key in pair)
        rows += [
            {"fixed": pair[0], "moving": pair[1], **of_label, **of_pair}
            for of_label in _overlaps(displacement, fixed, moving, label_numbers)
        ]
        progress(done, len(pairs))
    return _frame(rows, _PAIR_COLUMNS if points is None else (*_PAIR_COLUMNS, *_POINT_COLUMNS))


def summary(frame: pd.DataFrame) -> dict[str, float]:
    """Figures of a table of `evaluate_pairs`: labels are averaged within a pair first, then pairs.

    NaN is left out of every mean, and stays where there is nothing else. `test_dice_sd` is the standard
    deviation between pairs (NaN for one pair); `seconds_a_pair` is the median, so the first, cold one is harmless.
    """
    figures: pd.DataFrame = frame.drop(columns="label").groupby(["fixed", "moving"], sort=False).mean()  # type: ignore[assignment]
    means = figures.mean()
    result = {
        "test_dice": means["dice"],
        "test_dice_sd": figures["dice"].std(),
        "seconds_a_pair": figures["seconds"].median(),
        "pairs": len(figures),
        **means.drop(["dice", "seconds"]),
    }
    return {name: int(value) if name == "pairs" else float(value) for name, value in result.items()}


def warn_where_worse(figures: Mapping[str, float]) -> None:
    """Says what a `summary` has worse than before registration, as after a training on too few people."""
    if figures["test_dice"] < figures["initial_dice"]:
        logger.warning(
            "this model lowers Dice on these pairs, from %.3f to %.3f: they are better left as they are",
            figures["initial_dice"],
            figures["test_dice"],
        )
    if figures.get("tre_mm", 0.0) > figures.get("initial_tre_mm", 0.0):
        logger.warning(
            "this model moves landmarks of these pairs apart, from %.2f to %.2f mm",
            figures["initial_tre_mm"],
            figures["tre_mm"],
        )


def typical_pair(frame: pd.DataFrame) -> Pair:
    """The pair whose Dice before registration is the median, so the same for every system; the first without labels."""
    before = frame.groupby(["fixed", "moving"], sort=False)["initial_dice"].mean()
    ordered = before.dropna().sort_values(kind="stable")
    fixed, moving = ordered.index[len(ordered) // 2] if len(ordered) else before.index[0]  # type: ignore[misc]
    return str(fixed), str(moving)


def _figures(displacement: Displacement) -> dict[str, float]:
    return {
        "folds_percent": folds_percent(displacement),
        "folds_percent_central": folds_percent_central(displacement),
        "sdlogj": sdlogj(displacement),
        "sdlogj_learn2reg": sdlogj_learn2reg(displacement),
    }


def _overlaps(
    displacement: Displacement, fixed: Volume, moving: Volume, numbers: Sequence[int]
) -> Iterator[dict[str, float]]:
    """Figures of each label, or one row of NaN."""
    if fixed.labels is None or moving.labels is None or not numbers:
        yield {"label": UNLABELLED, **dict.fromkeys(_LABEL_COLUMNS, np.nan)}
        return
    warped = warp_labels(moving.labels, displacement)
    columns = (
        dice(fixed.labels, warped, numbers, moving_labels=moving.labels),
        hd95_mm(fixed.labels, warped, numbers, fixed.spacing),
        dice(fixed.labels, moving.labels, numbers),
        hd95_mm(fixed.labels, moving.labels, numbers, fixed.spacing),
    )
    for number, *values in zip(numbers, *columns, strict=True):
        yield {"label": number, **dict(zip(_LABEL_COLUMNS, values, strict=True))}


def _landmark_errors(
    displacement: Displacement, volumes: Mapping[str, Volume], pair: Pair, points: PairLandmarks
) -> dict[str, float]:
    found = points.voxels(pair, volumes)
    if found is None:
        return dict.fromkeys(_POINT_COLUMNS, np.nan)
    spacing = volumes[pair[1]].spacing
    fields = (displacement, torch.zeros_like(displacement))
    return {n: float(tre_mm(*found, u, spacing).mean()) for n, u in zip(_POINT_COLUMNS, fields, strict=True)}


def _frame(rows: list[dict[str, Any]], of_pair: Sequence[str]) -> pd.DataFrame:
    """The rows with fixed columns and dtypes, so that a set without labels has the table of one with."""
    floats = (*_LABEL_COLUMNS, *of_pair)
    frame = pd.DataFrame(rows, columns=["fixed", "moving", "label", *floats])
    return frame.astype({"fixed": str, "moving": str, "label": int, **dict.fromkeys(floats, float)})

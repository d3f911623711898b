"""On which grids the refinement of a model begins: decided by validation pairs once, and kept in its file.

What images alone say of a pair may be better or worse than what a network has learned from labels: where it is far from
trained, coarse grids find most of the motion; on hippocampus they undo what labels taught (docs/results.md).
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from autoreg.config import Config
from autoreg.errors import StorageError
from autoreg.registration.model import Model, keep_halvings
from autoreg.registration.refine import HALVINGS, register_refined
from autoreg.registration.score import score_pair, summarise
from autoreg.setting import Setting

PAIRS = 3
"""Validation pairs that decide, at most."""
logger = logging.getLogger(__name__)


def with_grids(
    model: Model,
    folder: Path,
    setting: Setting,
    config: Config,
    *,
    steps: int,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Model:
    """The model with the grids on which its validation pairs score highest after `steps` of refinement.

    Measured once: a model that has been comes back as it is, as does one whose validation pairs have no labels.
    Raises as `register_refined`.
    """
    if model.halvings is not None:
        return model
    pairs = setting.selection_pairs(setting.roles(config.seed))
    pairs = [pair for pair in pairs if all(setting.volumes[key].labels is not None for key in pair)][:PAIRS]
    if not pairs:
        return model
    done = count(1)

    def score(halvings: int, steps: int) -> float:
        way, rows = replace(model, halvings=halvings), list[dict[str, Any]]()
        for pair in pairs:
            displacement = register_refined(way, setting.volumes, pair, steps=steps, device=device)
            rows.append(score_pair(displacement, setting.volumes, pair, tuple(setting.labels)))
            progress(next(done), len(pairs) * (HALVINGS + 2))
        return summarise(rows, config.score)["score"]

    alone, *refined = score(0, 0), *(score(halvings, steps) for halvings in range(HALVINGS + 1))
    halvings = refined.index(max(refined))
    if alone >= max(refined):
        logger.warning(
            "refinement lowers the score of this model on %d validation pairs, from %.3f to %.3f at best",
            len(pairs),
            alone,
            max(refined),
        )
    try:
        keep_halvings(folder, halvings)
    except StorageError as error:  # somebody else's model, say, that may only be read
        logger.warning("%s; the grids of refinement are not kept", error)
    return replace(model, halvings=halvings)

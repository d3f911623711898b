"""The score of a registration: one number for choosing, and the parts that people read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoreg.data.volume import Volume
from autoreg.metrics import dice, folds_percent, sdlogj
from autoreg.registration.batch import load_batch
from autoreg.spatial import warp


@dataclass(frozen=True)
class ScoreConfig:
    """What counts as better, for the search and for manual tuning alike."""

    max_folds_percent: float = 0.3
    """Folded voxels (digital-diffeomorphism count) that a model may have."""
    max_sdlogj: float | None = None
    """Standard deviation of log J that a model may have; None leaves it free."""

    def __post_init__(self) -> None:
        if not 0 < self.max_folds_percent <= 100:
            raise ValueError(f"score.max_folds_percent: expected 0 to 100, got {self.max_folds_percent}")
        if self.max_sdlogj is not None and not self.max_sdlogj > 0:
            raise ValueError(f"score.max_sdlogj: expected more than 0, got {self.max_sdlogj}")

    @property
    def bounds(self) -> dict[str, float]:
        """Figure -> its bound, for the search."""
        return {"folds_percent": self.max_folds_percent} | (
            {} if self.max_sdlogj is None else {"sdlogj": self.max_sdlogj}
        )

    def score(self, mean_dice: float, mean_folds_percent: float, mean_sdlogj: float = 0.0) -> float:
        """Dice; a percent of folds above its bound, or SDlogJ at twice its bound, costs one whole Dice.

        So the bounds come first.
        """
        value = mean_dice - max(0.0, mean_folds_percent - self.max_folds_percent)
        if self.max_sdlogj is not None:
            value -= max(0.0, mean_sdlogj / self.max_sdlogj - 1)
        return value


def register_pair(
    network: nn.Module, volumes: Mapping[str, Volume], pair: tuple[str, str], *, device: torch.device
) -> Tensor:
    """Displacement (1, d, *s) of a pair on the fixed grid, without padding."""
    batch = load_batch(volumes, [pair], multiple=int(network.multiple), device=device)  # type: ignore[arg-type]
    with torch.inference_mode():
        return network(batch.fixed.image, batch.moving.image).displacement[batch.crop]


def score_pair(
    displacement: Tensor, volumes: Mapping[str, Volume], pair: tuple[str, str], labels: Sequence[int]
) -> dict[str, Any]:
    """Dice by label (NaN where absent; labels warped nearest neighbour), folds and SDlogJ of one pair."""
    fixed, moving = (volumes[key] for key in pair)
    by_label = np.full(len(labels), np.nan)
    if fixed.labels is not None and moving.labels is not None:
        warped = warp_labels(moving.labels, displacement)
        by_label = dice(fixed.labels, warped, labels, moving_labels=moving.labels)
    return {
        "fixed": pair[0],
        "moving": pair[1],
        "dice": by_label.tolist(),
        "folds_percent": folds_percent(displacement),
        "sdlogj": sdlogj(displacement),
    }


def warp_labels(labels: np.ndarray, displacement: Tensor) -> np.ndarray:
    """Moving labels on the fixed grid, nearest neighbour, 0 outside."""
    moving = torch.from_numpy(labels.astype(np.float32))[None, None].to(displacement.device)
    return warp(moving, displacement, mode="nearest")[0, 0].cpu().numpy().astype(np.int16)


def summarise(rows: Sequence[Mapping[str, Any]], config: ScoreConfig) -> dict[str, float]:
    """Means over pairs of the rows of `score_pair`, and the score."""
    dices = [float(np.nanmean(row["dice"])) for row in rows if np.isfinite(row["dice"]).any()]
    mean_dice = float(np.mean(dices)) if dices else float("nan")
    folds = float(np.mean([row["folds_percent"] for row in rows]))
    spread = float(np.mean([row["sdlogj"] for row in rows]))
    return {
        "val_dice": mean_dice,
        "folds_percent": folds,
        "sdlogj": spread,
        "score": config.score(mean_dice, folds, spread),
    }

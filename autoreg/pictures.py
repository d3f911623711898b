"""Pictures of runs and pairs, drawn when a command ends."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from autoreg.data.volume import Volume
from autoreg.metrics import dice
from autoreg.registration.score import warp_labels
from autoreg.reporting.figures import (
    alpha_axes,
    alpha_heatmap,
    alpha_over_time,
    lambda_paths,
    overlay,
    save_png,
    training_curve,
)
from autoreg.reporting.html import run_report
from autoreg.reporting.slices import FILE, take_slices
from autoreg.search.run import Run
from autoreg.spatial import warp


def draw_history(run: Run) -> None:
    """Objectives, and for a search alpha and lambda, over the rounds; then the run's report."""
    history = pd.DataFrame(run.journal.rows)
    figures = run.folder / "figures"
    drawn = {"objectives": training_curve(history)}
    edges, primitives = alpha_axes(history)
    if edges:
        drawn["alpha"] = alpha_heatmap(history, edges, primitives)
        drawn["alpha_over_time"] = alpha_over_time(history, edges, primitives)
    if any(name.startswith("lambda.") for name in history):
        drawn["lambda"] = lambda_paths(history)
    for name, figure in drawn.items():
        save_png(figure, figures / f"{name}.png")
    run_report(run.folder)


def draw_pair(fixed: Volume, moving: Volume, displacement: torch.Tensor, folder: Path) -> None:
    """Images, differences, deformation grid and Jacobian map of a pair, as a figure and as slices; then the report."""
    displacement = displacement.cpu()
    u = displacement[0].numpy()
    warped = warp(torch.from_numpy(np.array(moving.image))[None, None], displacement)[0, 0].numpy()
    save_png(overlay(fixed.image, moving.image, warped, u), folder / "figures" / "overlay.png")
    labels, words = None, ""
    if fixed.labels is not None and moving.labels is not None:
        labels = (np.asarray(fixed.labels), warp_labels(moving.labels, displacement))
        words = _dice_in_words(*labels, np.asarray(moving.labels))
    title = f"fixed {fixed.key}, moving {moving.key}{words}"
    images = (np.asarray(fixed.image), np.asarray(moving.image), warped)
    take_slices(*images, u, title=title, spacing=fixed.spacing, labels=labels).save(folder / FILE)
    run_report(folder)


def _dice_in_words(fixed: np.ndarray, warped: np.ndarray, moving: np.ndarray) -> str:
    numbers = [int(number) for number in np.unique(fixed) if number > 0]
    before, after = (dice(fixed, other, numbers) for other in (moving, warped))
    if not (np.isfinite(before).any() and np.isfinite(after).any()):
        return ""
    return f": mean Dice {np.nanmean(before):.3f} before, {np.nanmean(after):.3f} registered"

"""Pictures of runs and pairs, drawn when a command ends."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from autoreg.data.volume import Volume
from autoreg.reporting.figures import alpha_axes, alpha_heatmap, lambda_paths, overlay, training_curve
from autoreg.reporting.html import run_report
from autoreg.search.run import Run
from autoreg.spatial import warp


def draw_history(run: Run) -> None:
    """Objectives, and for a search alpha and lambda, over the rounds; then the run's report."""
    history = pd.DataFrame(run.journal.rows)
    figures = run.folder / "figures"
    figures.mkdir(exist_ok=True)
    drawn = {"objectives": training_curve(history)}
    edges, primitives = alpha_axes(history)
    if edges:
        drawn["alpha"] = alpha_heatmap(history, edges, primitives)
    if run.plan.command == "search":
        drawn["lambda"] = lambda_paths(history)
    for name, figure in drawn.items():
        figure.savefig(figures / f"{name}.png", dpi=130)
    run_report(run.folder)


def draw_pair(fixed: Volume, moving: Volume, displacement: torch.Tensor, folder: Path) -> None:
    """Fixed, moving and warped image, deformation grid and Jacobian map of a pair; then the folder's report."""
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    displacement = displacement.cpu()
    warped = warp(torch.from_numpy(np.array(moving.image))[None, None], displacement)[0, 0].numpy()
    overlay(fixed.image, moving.image, warped, displacement[0].numpy()).savefig(figures / "overlay.png", dpi=110)
    run_report(folder)

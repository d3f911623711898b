"""Registration of two files: a command that people wait for, so that nothing else is imported."""

from pathlib import Path
from typing import Any

import torch

from autoreg.data.nifti import check_nifti_name
from autoreg.evaluation.files import register_files, write_inverse, write_transform, write_warped, write_warped_labels
from autoreg.metrics import folds_percent
from autoreg.registration.model import Model, load_model
from autoreg.transforms.files import check_name


def register(
    model: Path | Model,
    fixed: Path,
    moving: Path,
    *,
    warped: Path | None = None,
    transform: Path | None = None,
    inverse: Path | None = None,
    labels: Path | None = None,
    warped_labels: Path | None = None,
    grid: str = "auto",
    refine: int = 0,
) -> dict[str, Any]:
    """Register two files and write what was asked for, in the fixed image's geometry; returns what to tell.

    `refine` steps of instance optimisation follow the network.

    Raises:
        InputError: no such model, or a file that cannot be used.
    """
    for path in filter(None, (transform, inverse)):
        check_name(path)
    for path in filter(None, (warped, warped_labels)):
        check_nifti_name(path)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model if isinstance(model, Model) else load_model(model, device=device)
    registration = register_files(model, fixed, moving, grid=grid, refine=refine, device=device)  # type: ignore[arg-type]
    notes = list(registration.notes)
    told: dict[str, Any] = {}
    if warped:
        write_warped(registration, warped)
        told["warped"] = warped
    if labels and warped_labels:
        note = write_warped_labels(registration, labels, warped_labels)
        notes += [note] if note else []
        told["warped labels"] = warped_labels
    if transform:
        write_transform(registration, transform)
        told["transform"] = transform
    if inverse:
        error = write_inverse(registration, inverse)
        told["inverse"] = inverse
        if error.size:
            told["inverse error"] = f"{error.mean():.3g} mm, at most {error.max():.3g} mm"
    told |= {
        "folds percent": round(folds_percent(registration.displacement), 4),
        "seconds": round(registration.seconds, 2),
    }
    return told | ({"note": "; ".join(notes)} if notes else {})

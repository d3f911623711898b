"""Registration of files."""

from pathlib import Path
from typing import Any

import click

from autoreg.cli.options import PATH, announce, refine_option
from autoreg.errors import InputError


@click.command()
@click.argument("model", type=PATH)
@click.argument("fixed", type=PATH)
@click.argument("moving", type=PATH)
@click.option("--warped", type=PATH, required=True, help="Where to write the warped moving image.")
@click.option("--transform", type=PATH, help="Where to write the displacement field (ITK convention, .nii.gz).")
@click.option("--labels", type=PATH, help="Label map of the moving image.")
@click.option("--warped-labels", type=PATH, help="Where to write it on the fixed grid.")
@click.option(
    "--grid",
    type=click.Choice(["auto", "headers", "voxels"]),
    default="auto",
    show_default=True,
    help="Match the two grids by their headers or voxel by voxel; auto does as the training data did.",
)
@refine_option
def register(model: Path, fixed: Path, moving: Path, **options: Any) -> None:
    """Register one pair of NIfTI files; results have the fixed image's geometry.

    \b
    Example:
      autoreg register runs/brains/train-1 fixed.nii.gz moving.nii.gz --warped warped.nii.gz
    """
    from autoreg import experiment

    if (options["labels"] is None) != (options["warped_labels"] is None):
        raise InputError("register: --labels and --warped-labels belong together, got one of them")
    announce(experiment.register(model, fixed, moving, **options))


COMMANDS = (register,)

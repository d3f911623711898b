"""Registration of files."""

from pathlib import Path
from typing import Any

import click

from autoreg.cli.options import PATH, announce, quiet_option, refine_option
from autoreg.errors import InputError

_RESULTS = ("warped", "transform", "inverse", "warped_labels")


@click.command()
@click.argument("model", type=PATH)
@click.argument("fixed", type=PATH, required=False)
@click.argument("moving", type=PATH, required=False)
@click.option("--warped", type=PATH, help="Where to write the warped moving image.")
@click.option("--transform", type=PATH, help="Where to write the transform; its name says the form (see below).")
@click.option("--inverse", type=PATH, help="Where to write its inverse.")
@click.option("--labels", type=PATH, help="Label map of the moving image.")
@click.option("--warped-labels", type=PATH, help="Where to write it on the fixed grid.")
@click.option(
    "--grid",
    type=click.Choice(["auto", "headers", "voxels"]),
    default="auto",
    show_default=True,
    help="Match the two grids by their headers or voxel by voxel; auto does as the training data did.",
)
@click.option("--pairs", type=PATH, help="CSV of many pairs instead: fixed,moving[,labels][,name].")
@click.option(
    "--output", type=PATH, help="Folder for --pairs; the options above then name files in each pair's folder."
)
@refine_option
@quiet_option
def register(
    model: Path,
    fixed: Path | None,
    moving: Path | None,
    pairs: Path | None,
    output: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Register a pair of NIfTI files, 3-D or 2-D; results have the fixed image's geometry.

    A transform called .nii.gz is a displacement field of ITK and ANTs (mm, LPS), .h5 an ITK transform,
    .fsl.nii.gz a warp of FSL, and .npz a displacement in voxels for numpy.

    \b
    Example:
      autoreg register runs/brains/train-1 fixed.nii.gz moving.nii.gz --warped warped.nii.gz --transform field.nii.gz
      autoreg register runs/brains/train-1 --pairs pairs.csv --output registered --transform field.h5
    """
    if pairs:
        if fixed or output is None or options["labels"]:
            raise InputError("register: --pairs: expected --output and all files in the table, got others here")
        return _register_many(model, pairs, output, quiet, options)
    if fixed is None or moving is None or output:
        raise InputError("register: expected FIXED and MOVING and no --output, or --pairs with --output")
    if (options["labels"] is None) != (options["warped_labels"] is None):
        raise InputError("register: --labels and --warped-labels belong together, got one of them")
    if not any(options[name] for name in _RESULTS):
        raise InputError("register: expected something to write, such as --warped or --transform, got nothing")
    from autoreg import registering

    _tell(registering.register(model, fixed, moving, **options))


def _tell(told: dict[str, Any]) -> None:
    """What was written, and on standard error what looks wrong."""
    note = told.pop("note", None)
    announce(told)
    if note:
        click.echo(f"{'note:':<14} {note}", err=True)


def _register_many(model: Path, pairs: Path, output: Path, quiet: bool, options: dict[str, Any]) -> None:
    from autoreg.many import register_many
    from autoreg.reporting.watch import Watch

    names = {"warped": Path("warped.nii.gz"), "warped_labels": Path("labels.nii.gz")}
    given = names | {name: value for name, value in options.items() if value is not None}
    announce(register_many(model, pairs, output, watch=Watch(quiet=quiet), **given))


@click.command()
@click.argument("transform", type=PATH)
@click.argument("file", type=PATH)
@click.option("--output", type=PATH, required=True, help="Where to write the result.")
@click.option("--reference", type=PATH, help="Image whose grid the result has [default: the transform's].")
@click.option("--labels", is_flag=True, help="FILE is a label map: take the nearest voxel.")
def apply(transform: Path, file: Path, output: Path, reference: Path | None, labels: bool) -> None:
    """Apply a written transform to an image, a label map, or landmarks (.csv).

    Images and label maps come from moving to fixed space, onto the grid of --reference FIXED. Landmarks go from
    fixed to moving space: p to p + u(p), with columns x,y,z (mm, RAS) or i,j,k (voxels; --reference MOVING then says
    which voxels come out). Transforms are those of `autoreg register`, or displacement fields and affine maps of ITK.

    \b
    Example:
      autoreg apply field.nii.gz moving.nii.gz --reference fixed.nii.gz --output warped.nii.gz
      autoreg apply field.nii.gz landmarks.csv --output landmarks_in_moving.csv
    """
    from autoreg.transforms.apply import apply_file

    _tell(apply_file(transform, file, output, reference=reference, labels=labels))


COMMANDS = (register, apply)

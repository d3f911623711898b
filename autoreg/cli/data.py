"""Data sets."""

from pathlib import Path

import click

from autoreg.cli.options import LOCATION, PATH, announce, quiet_option, seed_option, set_option
from autoreg.errors import InputError
from autoreg.storage import Location


@click.group()
def data() -> None:
    """Make and check data sets."""


@data.command()
@click.argument("out", type=PATH)
@click.option("--subjects", type=click.IntRange(2), default=20, show_default=True)
@click.option("--modalities", default="t1", show_default=True, help="Comma-separated: t1, t2.")
@click.option("--shape", default="48,48,48", show_default=True, help="Voxels by axis; two numbers give 2-D images.")
@seed_option
def phantom(out: Path, subjects: int, modalities: str, shape: str, seed: int | None) -> None:
    """Write brain-like phantoms with labels as NIfTI, and their dataset.json.

    \b
    Example:
      autoreg data phantom phantoms --subjects 12 --modalities t1,t2
    """
    from autoreg.data.synthetic import make_phantoms

    try:
        size = tuple(int(n) for n in shape.split(","))
    except ValueError as error:
        raise InputError(f"--shape: expected numbers such as 48,48,48, got {shape!r}") from error
    click.echo(
        make_phantoms(out, subjects=subjects, modalities=tuple(modalities.split(",")), shape=size, seed=seed or 0)
    )


@data.command()
@click.argument("dataset", type=LOCATION)
@set_option
def check(dataset: Location, overrides: tuple[str, ...]) -> None:
    """Open every file and report every problem at once.

    \b
    Examples:
      autoreg data check data/hippocampus/dataset.json
      autoreg data check s3://bucket/hippocampus/dataset.json
    """
    from autoreg.config import load_config
    from autoreg.data.check import inspect_dataset, summarise
    from autoreg.data.dataset import load_dataset
    from autoreg.data.fetched import local_dataset

    config = load_config(None, overrides)
    path = local_dataset(dataset)
    found = inspect_dataset(path, config.data)
    for line in (*found.problems, *(f"warning: {warning}" for warning in found.warnings)):
        click.echo(line, err=True)
    if found.problems:
        raise InputError(f"{dataset}: {len(found.problems)} problem{'s' if len(found.problems) > 1 else ''}")
    warnings = {"warnings": len(found.warnings)} if found.warnings else {}
    announce({**summarise(load_dataset(path, config.data)), "problems": "none", **warnings})


@data.command()
@click.argument("folder", type=PATH)
@click.option("--images", multiple=True, metavar="PATTERN", help="Image files, as 'raw/{subject}_{modality}.nii.gz'.")
@click.option("--labels", multiple=True, metavar="PATTERN", help="Label maps, as 'raw/{subject}_seg.nii.gz'.")
@click.option("--output", type=PATH, help="File to write [default: FOLDER/dataset.json].")
@click.option("--split", default="0.7,0.15,0.15", show_default=True, help="Shares of train, val and test.")
@seed_option
@quiet_option
def init(
    folder: Path,
    images: tuple[str, ...],
    labels: tuple[str, ...],
    output: Path | None,
    split: str,
    seed: int | None,
    quiet: bool,
) -> None:
    """Write a dataset.json for a folder of NIfTI files, BIDS or plain, and a contact sheet to look at.

    Subjects, modalities and label maps are guessed from names and contents, or follow patterns, in which * stands
    for anything within a name. What could not be placed is listed.

    \b
    Example:
      autoreg data init mydata
      autoreg data init mydata --images '{subject}/{modality}.nii.gz' --labels '{subject}/seg.nii.gz' --seed 1
    """
    from autoreg.intake.start import init_dataset
    from autoreg.reporting.watch import Watch

    announce(
        init_dataset(
            folder,
            images=images,
            labels=labels,
            output=output,
            split=_numbers("--split", split),
            seed=seed or 0,
            progress=Watch(quiet=quiet).counter("read"),
        )
    )


@data.command()
@click.argument("dataset", type=PATH)
@click.argument("out", type=PATH)
@click.option("--spacing", help="Voxel size in mm, one number or one an axis [default: the reference's].")
@click.option("--shape", help="Voxels by axis [default: what the reference's foreground needs].")
@click.option("--affine/--no-affine", default=True, help="Align every subject to the reference, or believe headers.")
@click.option("--reference", metavar="SUBJECT", help="Whom the others are aligned to [default: of median size].")
@quiet_option
def prepare(
    dataset: Path,
    out: Path,
    spacing: str | None,
    shape: str | None,
    affine: bool,
    reference: str | None,
    quiet: bool,
) -> None:
    """Bring all volumes of a data set onto one grid, aligned to one subject; the same command goes on after a stop.

    Axes run right, front, up; intensities are 0 to 1000; label maps take the nearest voxel. OUT/transforms leads
    back to the originals, and OUT/preparation.json has the overlap of every subject before and after.

    \b
    Example:
      autoreg data prepare mydata/dataset.json prepared --spacing 1.5
    """
    from autoreg.intake.prepare import Preparation, prepare_dataset
    from autoreg.reporting.watch import Watch

    preparation = Preparation(
        spacing=tuple(_numbers("--spacing", spacing)) if spacing else None,
        shape=tuple(int(n) for n in _numbers("--shape", shape)) if shape else None,
        affine=affine,
        reference=reference,
    )
    announce(prepare_dataset(dataset, out, preparation, progress=Watch(quiet=quiet).counter("prepare")))


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option}: expected numbers with commas between them, got {text!r}") from error


COMMANDS = (data,)

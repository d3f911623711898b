"""Data sets."""

from pathlib import Path

import click

from autoreg.cli.options import PATH, announce, seed_option, set_option
from autoreg.errors import InputError


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
@click.argument("dataset", type=PATH)
@set_option
def check(dataset: Path, overrides: tuple[str, ...]) -> None:
    """Open every file and report every problem at once.

    \b
    Example:
      autoreg data check data/hippocampus/dataset.json
    """
    from autoreg.config import load_config
    from autoreg.data.check import check_dataset, summarise
    from autoreg.data.dataset import load_dataset

    config = load_config(None, overrides)
    problems = check_dataset(dataset, config.data)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise InputError(f"{dataset}: {len(problems)} problems")
    announce({**summarise(load_dataset(dataset, config.data)), "problems": "none"})


COMMANDS = (data,)

"""Scores of a model."""

from contextlib import ExitStack
from typing import Any

import click

from autoreg.cli.options import (
    LOCATION,
    dataset_option,
    output_option,
    quiet_option,
    refine_option,
    set_option,
    show_result,
)
from autoreg.mirror import working_folder
from autoreg.storage import Location, inside, is_uri


@click.command()
@click.argument("model", type=LOCATION)
@dataset_option
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option("--save-fields", is_flag=True, help="Also write the displacements in Learn2Reg's layout.")
@refine_option
@set_option
@output_option
@quiet_option
def evaluate(model: Location, output: Location | None, save_fields: bool, quiet: bool, **options: Any) -> None:
    """Score a model: Dice, HD95, folds and SDlogJ by pair and label.

    \b
    Examples:
      autoreg evaluate runs/hippocampus/search-1/train --dataset data/hippocampus/dataset.json --split test
      autoreg evaluate runs/hippocampus/search-1/train --dataset data/hippocampus/dataset.json --refine 20
      autoreg evaluate runs/brain --dataset t1t2/dataset.json --set data.pairs=test_pairs_t1_to_t1 --output runs/t1
      autoreg evaluate s3://bucket/run/train --dataset s3://bucket/set/dataset.json
    """
    from autoreg import experiment
    from autoreg.reporting.watch import Watch

    with ExitStack() as stack:
        folder = stack.enter_context(working_folder(model, write=output is None))
        given = stack.enter_context(working_folder(output)) if output else None
        watch = Watch(quiet=quiet)
        written = experiment.evaluate(folder, output=given, fields=save_fields, watch=watch, **options)
    show_result(written, output or (inside(model, written.relative_to(folder).as_posix()) if is_uri(model) else None))


COMMANDS = (evaluate,)

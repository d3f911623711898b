"""Scores of a model."""

from pathlib import Path
from typing import Any

import click

from autoreg.cli.options import PATH, dataset_option, output_option, quiet_option, refine_option, show_result


@click.command()
@click.argument("model", type=PATH)
@dataset_option
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option("--save-fields", is_flag=True, help="Also write the displacements in Learn2Reg's layout.")
@refine_option
@output_option
@quiet_option
def evaluate(model: Path, save_fields: bool, quiet: bool, **options: Any) -> None:
    """Score a model: Dice, HD95, folds and SDlogJ by pair and label.

    \b
    Examples:
      autoreg evaluate runs/hippocampus/search-1/train --dataset data/hippocampus/dataset.json --split test
      autoreg evaluate runs/hippocampus/search-1/train --dataset data/hippocampus/dataset.json --refine 20
    """
    from autoreg import experiment
    from autoreg.reporting.watch import Watch

    show_result(experiment.evaluate(model, fields=save_fields, watch=Watch(quiet=quiet), **options))


COMMANDS = (evaluate,)

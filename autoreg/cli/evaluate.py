"""Scores of a model."""

from pathlib import Path

import click

from autoreg.cli.options import PATH, dataset_option, output_option, quiet_option, show_result


@click.command()
@click.argument("model", type=PATH)
@dataset_option
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option("--save-fields", is_flag=True, help="Also write the displacements in Learn2Reg's layout.")
@output_option
@quiet_option
def evaluate(
    model: Path, dataset: Path | None, split: str, save_fields: bool, output: Path | None, quiet: bool
) -> None:
    """Score a model: Dice, HD95, folds and SDlogJ by pair and label.

    \b
    Example:
      autoreg evaluate runs/hippocampus/search-1/train --dataset data/hippocampus/dataset.json --split test
    """
    from autoreg import experiment
    from autoreg.reporting.watch import Watch

    folder = experiment.evaluate(
        model, dataset=dataset, split=split, output=output, fields=save_fields, watch=Watch(quiet=quiet)
    )
    show_result(folder)


COMMANDS = (evaluate,)

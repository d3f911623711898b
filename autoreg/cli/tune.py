"""Manual tuning."""

from functools import partial
from typing import Any

import click

from autoreg.cli.options import config_argument, default_folder, with_config, work_in, work_options


@click.command()
@config_argument
@click.option("--trials", type=int, help="Trials of the study.")
@work_options
@with_config
def tune(config: Any, **options: Any) -> None:
    """Manual tuning as people do it: full trainings chosen by Ray Tune with Optuna, same budget, score and splits.

    \b
    Example:
      autoreg tune launchers/configs/hippocampus.yaml --dataset data/hippocampus/dataset.json --trials 10
    """
    from autoreg import tuning

    folder = default_folder(config, options, "tune")
    work_in(folder, "tune", config, options, partial(tuning.tune, config), "autoreg evaluate")


COMMANDS = (tune,)

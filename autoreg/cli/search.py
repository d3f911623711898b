"""The architecture and loss-weight search."""

from functools import partial
from typing import Any

import click

from autoreg.cli.options import config_argument, default_folder, with_config, work_in, work_options


@click.command()
@config_argument
@click.option("--network", "searched_network", metavar="NAME", help="Search the loss weights of this network alone.")
@work_options
@click.option("--pareto", is_flag=True, help="Also draw a front of Dice, folds and time around the result.")
@click.option("--max-ms", type=float, help="Most milliseconds a pair, measured on a worker.")
@click.option("--max-mib", type=float, help="Most MiB that a training step keeps.")
@click.option("--max-params", type=float, help="Most weights of the network.")
@with_config
def search(config: Any, **options: Any) -> None:
    """Search architecture and loss weights together with the network's weights.

    \b
    Examples:
      autoreg search launchers/configs/hippocampus.yaml --dataset data/hippocampus/dataset.json --workers 2
      autoreg search launchers/configs/hippocampus.yaml --dataset data/hippocampus/dataset.json --network voxelmorph
      autoreg search --resume runs/hippocampus/search-1
      autoreg search launchers/configs/hippocampus.yaml --dataset s3://bucket/set/dataset.json --output s3://bucket/run
    """
    from autoreg import experiment

    folder = default_folder(config, options, "search")
    work_in(folder, "search", config, options, partial(experiment.search, config), "autoreg train --search")


COMMANDS = (search,)

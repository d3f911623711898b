"""Training of a chosen network."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from autoreg.cli.options import LOCATION, PATH, config_argument, default_folder, with_config, work_in, work_options
from autoreg.mirror import working_folder
from autoreg.storage import Location, inside

NETWORKS = (
    "all-conv1, all-conv3, all-conv7, autoreg-abide, autoreg-ppmi, bpfl, bpfl-deterministic, mprnet, mprnet-legacy, "
    "mprnet-unconstrained, voxelmorph, voxelmorph-diff"
)
"""Those of `networks.NETWORKS`, which cannot be asked here: it would import torch for every --help."""


@click.command()
@config_argument
@click.option("--search", "search_folder", type=LOCATION, help="Folder of a finished search.")
@click.option("--genotype", type=PATH, help="genotype.yaml to build the network from.")
@click.option("--loss-weights", type=PATH, help="loss_weights.yaml [default: the search space's starts].")
@click.option("--network", help=f"A network by name: {NETWORKS}.")
@work_options
def train(config: Path | None, search_folder: Location | None, **options: Any) -> None:
    """Train a chosen network: what a search found, a genotype, or a network by name.

    Architecture and loss weights stay as given; those of a search may go on moving (search.moves_until).

    \b
    Examples:
      autoreg train --search runs/hippocampus/search-1
      autoreg train --resume runs/hippocampus/search-1/train
      autoreg train --search s3://bucket/run --output s3://bucket/run/train
      autoreg train launchers/configs/hippocampus.yaml --network all-conv3 --dataset data/hippocampus/dataset.json
    """
    if search_folder is None:
        return _train(config=config, search_folder=None, **options)
    options["output"] = options["output"] or inside(search_folder, "train")
    from autoreg.choice import check_search

    with working_folder(search_folder, write=False) as folder:
        check_search(folder)
        _train(config=config or folder / "config.yaml", search_folder=folder, **options)


@with_config
def _train(
    config: Any,
    search_folder: Path | None,
    genotype: Path | None,
    loss_weights: Path | None,
    network: str | None,
    **options: Any,
) -> None:
    from autoreg import experiment
    from autoreg.choice import choose, choose_again

    if options["resume"] and options["output"] and not (search_folder or genotype or network):
        choice = choose_again(config, options["output"])
    else:
        choice = choose(
            config, search_folder=search_folder, genotype=genotype, loss_weights=loss_weights, network=network
        )
    folder = default_folder(config, options, f"train-{network or 'genotype'}")
    work_in(folder, "train", config, options, partial(experiment.train, config, choice), "autoreg evaluate")


COMMANDS = (train,)

"""The project's claims as commands."""

from pathlib import Path
from typing import Any

import click

from autoreg.cli.options import (
    PATH,
    address_option,
    announce,
    config_argument,
    dry_run_option,
    gpus_option,
    quiet_option,
    seed_option,
    set_option,
    with_config,
    workers_option,
)

STUDIES = ("optimality", "generalisation", "cost", "tasks", "peers")


@click.command()
@click.argument("name", type=click.Choice(STUDIES), metavar=f"{{{'|'.join(STUDIES)}}}")
@config_argument
@click.option("--dataset", "datasets", type=PATH, multiple=True, help="dataset.json of the volumes; may be repeated.")
@click.option("--output", type=PATH, default=Path("runs/studies"), show_default=True, help="Folder of all studies.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many, from --seed on.")
@click.option("--only", multiple=True, metavar="SYSTEM", help="This system alone; may be repeated.")
@workers_option
@gpus_option
@address_option
@click.option("--resume", is_flag=True, help="Go on in OUTPUT/NAME; finished runs are never repeated.")
@set_option
@seed_option
@quiet_option
@dry_run_option
def study(**options: Any) -> None:
    """Run a list of systems on the same data and write one table, with tests and an evaluation card.

    \b
    optimality      AutoReg against all-conv1, all-conv3 and all-conv7
    generalisation  voxelmorph with searched loss weights against the default ones
    cost            search and training against n trials by hand and a training, n = 1 to tune.trials
    tasks           AutoReg on every modality pair of every data set
    peers           AutoReg, every network by name, the classical peers that are installed

    OUTPUT/NAME gets table.md, table.csv, table.tex, study.png and card.json; OUTPUT/shared the finished runs, which all
    studies of one OUTPUT share.

    \b
    Examples:
      autoreg study optimality launchers/configs/hippocampus.yaml --dataset data/hippocampus/dataset.json --seeds 3
      autoreg study cost launchers/configs/hippocampus.yaml --dataset data/hippocampus/dataset.json --set tune.trials=5
      autoreg study peers CONFIG.yaml --dataset D.json --only AutoReg --only voxelmorph --only ants
    """
    _study(**options)


@with_config
def _study(config: Any, name: str, datasets: tuple[Path, ...], quiet: bool, dry_run: bool, **options: Any) -> None:
    from autoreg import studies
    from autoreg.reporting.watch import Watch

    chosen, resume = studies.STUDIES[name], options.pop("resume")
    given: dict[str, Any] = {"datasets": datasets or (None,), **options}
    if dry_run:
        return announce(studies.describe_study(chosen, config, **given))
    click.echo(studies.run_study(chosen, config, resume=resume, watch=Watch(quiet=quiet), **given))
    announce({"table": options["output"] / name / "table.md"})


COMMANDS = (study,)

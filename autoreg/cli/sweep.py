"""Several searches side by side."""

from typing import Any

import click

from autoreg.cli.options import announce, config_argument, default_folder, with_config, work_options
from autoreg.mirror import working_folder


@click.command()
@config_argument
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many, from --seed on.")
@click.option("--vary", multiple=True, metavar="KEY=VALUE,VALUE", help="Search with each value; may be repeated.")
@click.option("--concurrent", type=click.IntRange(1), default=1, show_default=True, help="Searches under way at once.")
@click.option("--asha/--no-asha", default=True, show_default=True, help="End searches early that fall behind (ASHA).")
@work_options
@with_config
def sweep(
    config: Any,
    seeds: int,
    vary: tuple[str, ...],
    concurrent: int,
    asha: bool,
    resume: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Run several searches in one Ray cluster, each with its own workers: seeds, spaces, tasks, or any other key.

    Each is a trial of Ray Tune and a nested run in MLflow. Searches of several data sets are never ended early.

    \b
    Examples:
      autoreg sweep launchers/configs/hippocampus.yaml --dataset data/hippocampus/dataset.json --seeds 3 --concurrent 3
      autoreg sweep CONFIG.yaml --dataset D.json --vary space=compact,topology --vary score.max_folds_percent=0.1,0.3
      autoreg sweep CONFIG.yaml --vary dataset=one/dataset.json,two/dataset.json --output runs/tasks
    """
    from autoreg import sweep as sweeps
    from autoreg.reporting.watch import Watch

    chosen = sweeps.points(config, seeds=seeds, vary=vary)
    place = default_folder(config, options | {"resume": resume}, "sweep")
    if options["dry_run"]:
        sweeps.check_points(config, options["dataset"], chosen)
        told = "; ".join(", ".join(f"{key} {value}" for key, value in point.items()) for point in chosen)
        return announce({"command": "sweep", "folder": place, "searches": len(chosen), "points": told})
    given = {"vary": chosen, "concurrent": concurrent, "asha": asha, "resume": resume, "watch": Watch(quiet=quiet)}
    with working_folder(place) as folder:
        table = sweeps.sweep(config, dataset=options["dataset"], output=folder, **given)
    click.echo(table.assign(best=table["best"].map({True: "*", False: ""})).to_string(index=False))
    for found in table["folder"][table["best"]]:
        announce({"next": f"autoreg train --search {found}"})


COMMANDS = (sweep,)

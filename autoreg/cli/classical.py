"""Registration without training."""

from typing import Any

import click

from autoreg.cli.options import (
    announce,
    dataset_option,
    default_folder,
    dry_run_option,
    output_option,
    quiet_option,
    resume_option,
    set_option,
    show_result,
    with_config,
)
from autoreg.mirror import working_folder

PEERS = ("ants", "elastix", "niftyreg", "convexadam", "fireants")


@click.command()
@click.argument("peer", type=click.Choice(PEERS))
@dataset_option
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option("--pairs", "most_pairs", type=click.IntRange(1), help="Only the first pairs of the split.")
@output_option
@resume_option
@set_option
@quiet_option
@dry_run_option
def classical(**options: Any) -> None:
    """Score a classical peer on the pairs of a split: same pairs, metrics and files as `autoreg evaluate`.

    Each needs its own extra, such as autoreg[ants]; niftyreg needs the executable reg_f3d.

    \b
    Example:
      autoreg classical ants --dataset data/hippocampus/dataset.json --split test --output runs/hippocampus/ants
    """
    _classical(config=None, **options)


@with_config
def _classical(config: Any, peer: str, dry_run: bool, quiet: bool, resume: bool, **options: Any) -> None:
    from autoreg import peers
    from autoreg.reporting.watch import Watch

    place = default_folder(config, options | {"resume": resume}, f"classical-{peer}")
    given: dict[str, Any] = {name: options[name] for name in ("dataset", "split", "most_pairs")}
    if dry_run:
        return announce(peers.describe_classical(config, peer, output=place, **given))
    with working_folder(place) as output:
        peers.classical(config, peer, output=output, resume=resume, watch=Watch(quiet=quiet), **given)
    show_result(output, place)


COMMANDS = (classical,)

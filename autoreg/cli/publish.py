"""Models for others."""

from pathlib import Path

import click

from autoreg.cli.options import PATH, announce
from autoreg.errors import InputError


@click.command()
@click.argument("run", type=PATH)
@click.option("--name", required=True, help="Name in the registry; a name that is there gets a new version.")
def publish(run: Path, name: str) -> None:
    """Enter a trained model into MLflow's model registry, in the store that tracked its training.

    Whoever has the store and autoreg loads it with mlflow.pyfunc.load_model; predict takes a pair of arrays or files.

    \b
    Example:
      autoreg publish runs/hippocampus/search-1/train --name hippocampus
    """
    from autoreg.serving.publish import publish as enter

    announce(enter(run, name=name))


@click.command()
@click.argument("model", type=PATH)
@click.argument("out", type=PATH)
@click.option("--to", type=click.Choice(["torch.export"]), default="torch.export", show_default=True, help="Form.")
@click.option("--shape", required=True, help="Voxels by axis of the images it will take, as 64,96,64.")
def export(model: Path, out: Path, to: str, shape: str) -> None:
    """Write a trained network as a graph that needs torch alone, checked against the network.

    OUT is laid out as MONAI's bundles are: models/model.pt2, configs/metadata.json, docs/README.md (a model card).

    \b
    Example:
      autoreg export runs/hippocampus/search-1/train bundle --to torch.export --shape 48,64,48
    """
    from autoreg.serving.export import export_model

    try:
        sizes = [int(part) for part in shape.split(",")]
    except ValueError as error:
        raise InputError(f"--shape: expected numbers such as 64,96,64, got {shape!r}") from error
    announce(export_model(model, out, shape=sizes))


COMMANDS = (publish, export)

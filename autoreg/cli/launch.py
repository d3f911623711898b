"""Launchers."""

from pathlib import Path

import click

from autoreg.cli.options import LOCATION, PATH, announce
from autoreg.files import result_file
from autoreg.storage import Location


@click.command()
@click.argument("kind", metavar="local|slurm|ray|aws|kuberay")
@click.argument("config", type=PATH)
@click.option("--dataset", type=LOCATION, required=True, help="dataset.json of the volumes, as the nodes see it.")
@click.option("--output", type=LOCATION, required=True, help="Folder for the results, as the nodes see it.")
@click.option("--nodes", type=int, default=1, show_default=True)
@click.option("--gpus-per-node", type=int, default=0, show_default=True)
@click.option("--cpus-per-node", type=int, default=2, show_default=True)
@click.option("--host", "hosts", multiple=True, help="Address of a node, the head first (ray).")
@click.option("--image", default="autoreg:latest", show_default=True, help="Container image (kuberay, aws).")
@click.option("--instance", default="g5.xlarge", show_default=True, help="Kind of machine (aws).")
@click.option("--region", default="us-east-1", show_default=True, help="Where (aws).")
@click.option("--to", type=PATH, help="File to write [default: show it].")
def launch(
    kind: str,
    config: Path,
    dataset: Location,
    output: Location,
    nodes: int,
    gpus_per_node: int,
    cpus_per_node: int,
    hosts: tuple[str, ...],
    image: str,
    instance: str,
    region: str,
    to: Path | None,
) -> None:
    """Write the file that starts a search on several nodes.

    \b
    Examples:
      autoreg launch slurm search.yaml --dataset data/dataset.json --output runs/big --nodes 4 --gpus-per-node 8
      autoreg launch aws search.yaml --dataset s3://b/set/dataset.json --output s3://b/run --nodes 4 --gpus-per-node 1
    """
    from autoreg.launch import Cluster, launcher

    cluster = Cluster(nodes, gpus_per_node, cpus_per_node, hosts, image, instance, region)
    text = launcher(kind, config, dataset=dataset, output=output, cluster=cluster)
    if to is None:
        return click.echo(text, nl=False)
    with result_file(to) as file:
        file.write(text.encode())
    starts = {"local": "bash", "slurm": "sbatch", "ray": "ray up", "aws": "ray up", "kuberay": "kubectl apply -f"}
    announce({"written": to, "next": f"{starts[kind]} {to}"})


COMMANDS = (launch,)

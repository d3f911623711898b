"""Files that start a search on several nodes: one set of templates, filled in for this machine, Slurm, Ray's own
launcher (hosts of one's own, or Amazon's cloud) or Kubernetes.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jinja2

from autoreg.config import load_config, shipped
from autoreg.errors import InputError
from autoreg.storage import Location, is_uri

KINDS = {
    "local": "local.sh",
    "slurm": "slurm.sbatch",
    "ray": "ray.yaml",
    "aws": "aws.yaml",
    "kuberay": "kuberay.yaml",
}
"""Kind -> file that is written; its template is launchers/templates/FILE.j2."""


@dataclass(frozen=True)
class Cluster:
    """Where a search runs."""

    nodes: int = 1
    gpus_per_node: int = 0
    cpus_per_node: int = 2
    hosts: tuple[str, ...] = ()
    """Addresses, the head first; for `ray` alone."""
    image: str = "autoreg:latest"
    """Container image; for `kuberay` and `aws`."""
    instance: str = "g5.xlarge"
    """Kind of machine; for `aws` alone, as the next."""
    region: str = "us-east-1"

    def __post_init__(self) -> None:
        for name, low in (("nodes", 1), ("gpus_per_node", 0), ("cpus_per_node", 1)):
            if getattr(self, name) < low:
                option = name.replace("_", "-")
                raise InputError(f"--{option}: expected at least {low}, got {getattr(self, name)}")

    @property
    def workers(self) -> int:
        """One a GPU; without GPUs one a node."""
        return self.nodes * max(self.gpus_per_node, 1)

    @property
    def threads(self) -> int:
        """Of a worker."""
        return max(1, self.cpus_per_node // max(self.gpus_per_node, 1))


def launcher(kind: str, config: Path, *, dataset: Location, output: Location, cluster: Cluster) -> str:
    """The text of the file that starts this search; it is the same for the same arguments.

    Raises:
        InputError: an unknown kind, a configuration that cannot be used, or hosts that do not fit the nodes.
    """
    if kind not in KINDS:
        raise InputError(f"launch: expected one of {', '.join(KINDS)}, got {kind!r}")
    batch = load_config(config).search.batch_size
    if cluster.workers > batch:
        raise InputError(
            f"{config}: search.batch_size: expected at least {cluster.workers}, one pair a worker of {cluster.nodes} "
            f"nodes, got {batch}"
        )
    if kind == "aws" and not (is_uri(dataset) and is_uri(output)):
        raise InputError(f"launch aws: expected --dataset and --output as s3:// URIs, got {dataset} and {output}")
    hosts = cluster.hosts or tuple(f"HOST{number}" for number in range(1, cluster.nodes + 1))
    if len(hosts) != cluster.nodes:
        raise InputError(f"--host: expected {cluster.nodes} (nodes), got {len(hosts)}")
    loader = jinja2.FileSystemLoader(shipped("launchers") / "templates")
    templates = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return templates.get_template(f"{KINDS[kind]}.j2").render(
        nodes=cluster.nodes,
        cpus=cluster.cpus_per_node,
        gpus=cluster.gpus_per_node,
        hosts=hosts,
        image=cluster.image,
        instance=cluster.instance,
        region=cluster.region,
        resources={"CPU": cluster.cpus_per_node} | ({"GPU": cluster.gpus_per_node} if cluster.gpus_per_node else {}),
        user=os.environ.get("USER", "root"),
        ray_version=version("ray"),
        output=shlex.quote(str(output)),
        node=shlex.join(["ray", "start", "--block", f"--num-cpus={cluster.cpus_per_node}", *_gpus(cluster)]),
        search=shlex.join(_search(config, dataset, output, cluster)),
    )


def _gpus(cluster: Cluster) -> list[str]:
    return [f"--num-gpus={cluster.gpus_per_node}"] if cluster.gpus_per_node else []


def _search(config: Path, dataset: Location, output: Location, cluster: Cluster) -> Sequence[str]:
    command = ["autoreg", "search", str(config), "--dataset", str(dataset), "--output", str(output), "--quiet"]
    settings = {"min": 1, "max": cluster.workers, "threads": cluster.threads, "gpus": 1 if cluster.gpus_per_node else 0}
    for name, value in settings.items():
        command += ["--set", f"workers.{name}={value}"]
    return command

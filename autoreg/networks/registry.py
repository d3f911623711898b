"""Networks by name."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from autoreg.errors import SearchSpaceError
from autoreg.networks.architecture import Architecture
from autoreg.networks.bpfl import BPFL
from autoreg.networks.genotype import Genotype, architecture_from_dict
from autoreg.networks.mprnet import mprnet
from autoreg.networks.published import autoreg_abide, autoreg_ppmi
from autoreg.networks.voxelmorph import VoxelMorph

NETWORKS: dict[str, Callable[[Architecture], nn.Module]] = {
    "all-conv1": lambda architecture: Genotype.uniform(architecture, "conv1").build(),
    "all-conv3": lambda architecture: Genotype.uniform(architecture, "conv3").build(),
    "all-conv7": lambda architecture: Genotype.uniform(architecture, "conv7").build(),
    "autoreg-abide": lambda architecture: autoreg_abide(architecture.dims).build(),
    "autoreg-ppmi": lambda architecture: autoreg_ppmi(architecture.dims).build(),
    "bpfl": lambda architecture: BPFL(architecture.dims),
    "bpfl-deterministic": lambda architecture: BPFL(architecture.dims, probabilistic=False),
    "mprnet": lambda architecture: mprnet(architecture.dims),
    "mprnet-legacy": lambda architecture: mprnet(architecture.dims, composition="sum"),
    "mprnet-unconstrained": lambda architecture: mprnet(architecture.dims, integration_steps=0),
    "voxelmorph": lambda architecture: VoxelMorph(architecture.dims),
    "voxelmorph-diff": lambda architecture: VoxelMorph(architecture.dims, integration_steps=7),
}
"""Name -> builder. The architecture gives the dimensions and, for all-conv*, the cells of the search space."""


def check_network(name: object, where: str) -> None:
    """Raises SearchSpaceError for an unknown name, with the nearest one."""
    if name not in NETWORKS:
        close = difflib.get_close_matches(str(name), NETWORKS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise SearchSpaceError(f"{where}: unknown name {name!r}{hint}; known: {', '.join(NETWORKS)}")


def build_network(description: Mapping[str, Any]) -> nn.Module:
    """A network with fresh weights from plain values: {"genotype": ...} or {"name": ..., "architecture": ...}.

    Raises:
        SearchSpaceError: for an unknown network name (with the nearest one) or a wrong genotype.
    """
    if "genotype" in description:
        return Genotype.from_dict(description["genotype"]).build()
    name = description.get("name")
    check_network(name, "network")
    return NETWORKS[str(name)](architecture_from_dict(description.get("architecture", {})))

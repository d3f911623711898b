"""What a training takes as given: a network and its loss weights, from a search, from files, or by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoreg.config import Config, load_space, read_yaml, write_yaml
from autoreg.errors import InputError, SearchSpaceError
from autoreg.mirror import known_as
from autoreg.networks import NETWORKS, Genotype, check_network
from autoreg.registration.space import SearchSpace
from autoreg.search.run import read_result


@dataclass(frozen=True)
class Choice:
    """What a training takes as given: a network, its loss weights, and where they come from."""

    network: dict[str, Any]
    loss_weights: dict[str, float]
    source: dict[str, Any] | None = None
    """result.json of the search that made the choice."""
    begun: Path | None = None
    """Folder of the first part of this training, if there is one."""
    searched: bool = False
    """Whether the loss weights are a search's, which may go on moving (`search.moves_until`)."""

    def origin(self) -> dict[str, Any] | None:
        """What a training keeps of its source, to be continued without it."""
        return (
            {key: self.source.get(key) for key in ("name", "device_seconds", "mlflow_run_id")} if self.source else None
        )


def choose(
    config: Config,
    *,
    search_folder: Path | None = None,
    genotype: Path | None = None,
    loss_weights: Path | None = None,
    network: str | None = None,
) -> Choice:
    """What `autoreg train` was told to train; loss weights default to the search space's starts.

    A search whose network was fixed by name left loss weights for it, and no genotype.

    Raises:
        InputError: none or several were given, or a file cannot be read.
    """
    given = [name for name, v in (("--search", search_folder), ("--genotype", genotype), ("--network", network)) if v]
    if len(given) != 1:
        raise InputError(f"train: expected one of --search, --genotype, --network, got {', '.join(given) or 'none'}")
    source, begun, searched = None, None, False
    if search_folder:
        check_search(search_folder)
        source = read_result(search_folder)
        begun = _begun(search_folder, source)
        if source.get("network") in NETWORKS:
            network = source["network"]
        else:
            genotype = search_folder / "genotype.yaml"
        searched = loss_weights is None
        loss_weights = loss_weights or search_folder / "loss_weights.yaml"
    space = load_space(config.space, dims=3)
    weights = {term.name: 1.0 if term.reference else term.start for term in space.terms}
    if loss_weights:
        weights = _read_loss_weights(loss_weights)
    if genotype:
        try:
            described: dict[str, Any] = {"genotype": Genotype.from_dict(read_yaml(genotype)).to_dict()}
        except SearchSpaceError as error:
            raise SearchSpaceError(f"{genotype}: {error}") from error
    else:
        check_network(network, "--network")
        described = space.named_network(str(network))
    return Choice(described, weights, source, begun, searched)


def check_search(folder: Path) -> None:
    """Raises InputError when there is no run in the folder: before its configuration is read."""
    if not (folder / "result.json").exists():
        got = "a folder without result.json" if folder.is_dir() else "no folder of this name"
        raise InputError(f"{known_as(folder)}: expected the folder of a search, got {got}")


def _begun(search_folder: Path, result: Mapping[str, Any]) -> Path | None:
    """Where the training of the play-off's winner was left."""
    rows = [row for row in result.get("finalists") or () if row["name"] == result.get("chosen") and row.get("folder")]
    return search_folder / rows[-1]["folder"] if rows else None


def choose_again(config: Config, folder: Path) -> Choice:
    """What a training that was begun in `folder` took as given. Raises InputError when that was not kept."""
    result = read_result(folder)
    genotype, network = folder / "genotype.yaml", result.get("network")
    weights = folder / "loss_weights.yaml"
    if not weights.exists() or not (genotype.exists() or network in NETWORKS):
        raise InputError(f"{folder}: --resume: expected a training that was begun here, got no network or loss weights")
    given = {"genotype": genotype} if genotype.exists() else {"network": network}
    chosen = choose(config, loss_weights=weights, **given)
    return replace(chosen, source=result.get("source"), searched=bool(result.get("searched")))


def _read_loss_weights(path: Path) -> dict[str, float]:
    values = read_yaml(path)
    for name, value in values.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
            raise SearchSpaceError(f"{path}: {name}: expected a number of at least 0, got {value!r}")
    return {str(k): float(v) for k, v in values.items()}


def in_order(weights: Mapping[str, float], space: SearchSpace) -> dict[str, float]:
    """Loss weights in the order of the space's terms. Raises SearchSpaceError when names differ."""
    names = [term.name for term in space.terms]
    if set(names) != set(weights):
        raise SearchSpaceError(f"loss weights: expected the terms {names} of space {space.name}, got {list(weights)}")
    return {name: float(weights[name]) for name in names}


def fit_dims(network: dict[str, Any], dims: int) -> dict[str, Any]:
    """The network for images of so many axes. Raises SearchSpaceError when a genotype was made for others."""
    if "genotype" not in network:
        return network | {"architecture": network.get("architecture", {}) | {"dims": dims}}
    made_for = network["genotype"]["architecture"]["dims"]
    if made_for != dims:
        raise SearchSpaceError(f"genotype.architecture.dims: expected {dims} as the images have, got {made_for}")
    return network


def plain_network(network: Mapping[str, Any]) -> dict[str, Any]:
    """Lists instead of tuples, as a file keeps them."""
    return {
        k: plain_network(v) if isinstance(v, Mapping) else list(v) if isinstance(v, tuple) else v
        for k, v in network.items()
    }


def write_choice(output: Path, choice: Choice, weights: Mapping[str, float]) -> None:
    if "genotype" in choice.network:
        write_yaml(output / "genotype.yaml", choice.network["genotype"])
    write_yaml(output / "loss_weights.yaml", weights)

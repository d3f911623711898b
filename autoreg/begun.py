"""A training that a search's play-off began, for `train` to go on with: bit for bit what it would do from the start."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoreg.choice import Choice
from autoreg.config import read_yaml
from autoreg.extensions import loaded_extensions
from autoreg.search.checkpoint import load_checkpoint, save_checkpoint
from autoreg.search.run import RunPlan, read_result
from autoreg.tracking.provenance import standard_tags

logger = logging.getLogger(__name__)
_CONFIGURED = ("space", "seed", "data", "train", "score")


def go_on_from(begun: Path, plan: RunPlan, choice: Choice, loss_weights: Mapping[str, float]) -> bool:
    """Whether the run's folder now holds the last state of the training in `begun`.

    It does not when that is another training: other data, seed, settings, network, loss weights, or program.
    """
    state = None
    if (begun / "checkpoints").is_dir() and _named(begun) == _training(plan, choice, loss_weights):
        state = load_checkpoint(begun / "checkpoints")
    if state is None:
        logger.info("%s: not the first part of this training, which therefore starts anew", begun)
        return False
    # its time is in the books and the wall time of the search
    save_checkpoint(plan.folder / "checkpoints", state["place"]["rounds"], state | {"wall_seconds": 0.0}, keep=1)
    return True


def _training(plan: RunPlan, choice: Choice, loss_weights: Mapping[str, float]) -> dict[str, Any]:
    """All that the weights of a training depend on."""
    return {
        "config": _configured(plan.config),
        "data": plan.dataset_hash,
        "version": standard_tags().get("version.autoreg"),
        "extensions": list(loaded_extensions()),
        "genotype": choice.network.get("genotype"),
        "network": choice.network.get("name", "autoreg" if "genotype" in choice.network else None),
        "loss_weights": dict(loss_weights),
        "moves": _moves(plan.config) if choice.searched else None,
    }


def _named(begun: Path) -> dict[str, Any]:
    result = read_result(begun)
    genotype = begun / "genotype.yaml"
    config = read_yaml(begun / "config.yaml")
    return {
        "config": _configured(config),
        "data": result["dataset_hash"],
        "version": result["version"],
        "extensions": result["extensions"],
        "genotype": read_yaml(genotype) if genotype.exists() else None,
        "network": result.get("network"),
        "loss_weights": read_yaml(begun / "loss_weights.yaml"),
        "moves": _moves(config) if result.get("searched") else None,
    }


def _moves(config: Mapping[str, Any]) -> dict[str, Any]:
    """How the loss weights move in the training."""
    search = config["search"]
    until = search.get("moves_until", 0.0)
    return {"until": until} | ({name: search.get(name) for name in ("upper", "upper_level")} if until else {})


def _configured(config: Mapping[str, Any]) -> dict[str, Any]:
    workers = config["workers"]
    own = {
        "shares": workers.get("max") or workers["count"],
        "average": workers["average_every"],
        "precision": workers.get("precision", "float32"),
    }
    return {name: config[name] for name in _CONFIGURED} | own

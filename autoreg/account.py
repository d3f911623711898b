"""What a command would do, and what a run is doing."""

import time
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.config import Config, load_space, read_yaml
from autoreg.search.run import read_result
from autoreg.setting import open_setting
from autoreg.storage import Location
from autoreg.tracking.ledger import read_costs


def status(folder: Path) -> dict[str, Any]:
    """What a run is doing, from its files alone. Raises InputError when it is no run's folder."""
    result = read_result(folder)
    told = {"command": result["command"], "status": result["status"], "dataset": result.get("dataset")}
    history = folder / "history.parquet"
    if history.exists():
        rows = pd.read_parquet(history)
        config = read_yaml(folder / "config.yaml")
        section = config[result["command"]]
        total = section["rounds"] if "rounds" in section else -(-section["steps"] // section["steps_per_round"])
        left = (total - len(rows)) * float(rows["seconds"].tail(20).mean())
        told |= {"rounds": f"{len(rows)} of {total}", "workers": int(rows["workers"].iloc[-1])}
        told |= {"about left": f"{left:.0f} s"} if result["status"] != "finished" else {}
        told |= {
            k: round(float(rows[k].dropna().iloc[-1]), 4)
            for k in ("val_dice", "soft_dice", "folds_percent")
            if k in rows and rows[k].notna().any()
        }
        told |= {c: round(float(rows[c].iloc[-1]), 4) for c in rows if str(c).startswith("lambda.")}
        age = time.time() - history.stat().st_mtime
        told["last round"] = f"{age:.0f} s ago"
    costs = read_costs(folder / "cost.jsonl")
    told["device-seconds"] = round(float(costs["device_seconds"].sum() + costs["wasted_seconds"].sum()), 1)
    return told


def describe(config: Config, dataset: Location | None, folder: Location, command: str) -> dict[str, Any]:
    """What a command would do, after checking everything that it needs. Raises InputError."""
    setting = open_setting(config, dataset)
    space = load_space(config.space, dims=setting.dims)
    roles = setting.roles(config.seed)
    sizes = {
        name: len(getattr(roles, name)) for name in ("weights", "architecture", "loss_weights", "selection", "test")
    }
    searched = f"loss weights of {config.search.network}" if config.search.network else config.search.relaxation
    budget = {
        "search": f"{config.search.rounds} rounds of {config.search.steps_per_round} steps, {searched}",
        "train": f"{config.train.steps} steps",
        "tune": f"{config.tune.trials} trials of {config.train.steps} steps",
    }[command]
    workers = _span(config.workers.fewest, config.workers.most)
    return {
        "command": command,
        "folder": folder,
        "data set": f"{setting.dataset.name}, {len(setting.volumes)} volumes",
        "subjects": ", ".join(f"{name} {size}" for name, size in sizes.items()),
        "shared": "; ".join(roles.notes) or "nothing",
        "space": f"{space.name}: {len(space.choices.edges)} edges, {len(space.primitives)} primitives, "
        f"{len(space.choices.structure)} structural choices, terms {', '.join(term.name for term in space.terms)}",
        "budget": budget,
        "workers": f"{workers}, each {config.workers.threads} threads and {config.workers.gpus:g} GPUs",
    }


def _span(fewest: int, most: int) -> str:
    return str(most) if fewest == most else f"{fewest} to {most}"

"""What a command would do."""

from typing import Any

from autoreg.config import Config, load_space
from autoreg.setting import check_devices, open_setting
from autoreg.storage import Location


def describe(config: Config, dataset: Location | None, folder: Location, command: str) -> dict[str, Any]:
    """What a command would do, after checking everything that it needs. Raises InputError."""
    check_devices(config.workers)
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

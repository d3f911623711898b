"""Finished runs that studies share: each in a folder named after what it was made from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autoreg import experiment, peers, tuning
from autoreg.choice import Choice, choose
from autoreg.config import Config, load_space
from autoreg.extensions import loaded_extensions
from autoreg.reporting.watch import Watch
from autoreg.search.run import is_finished, read_result, write_json
from autoreg.studies.task import Task

_KEY_DIGITS = 12


@dataclass(frozen=True)
class Bench:
    """Makes the runs of one task and seed, or finds them finished; each method returns a finished run's folder.

    A run's folder is named after a hash of all that its result depends on, which `recipe.json` there spells out.
    The code's version is not part of it: result.json keeps the commit, and the evaluation card names it.
    """

    task: Task
    config: Config
    """The task's, with the seed."""
    home: Path
    """Folder of all shared runs."""
    watch: Watch
    label: str
    """What its progress bars are called."""

    def search(self, network: str | None = None) -> Path:
        """A search of architecture and loss weights, or of a named network's loss weights."""
        config = replace(self.config, search=replace(self.config.search, network=network))
        folder = self._folder("search", network or "autoreg", {"search": config.search, "train": config.train})
        if not is_finished(folder):
            experiment.search(
                config, dataset=self.task.dataset, output=folder, resume=True, watch=self._watch("search")
            )
        return folder

    def train(self, *, network: str | None = None, search: Path | None = None) -> Path:
        """A training of a named network or of what a search found, evaluated."""
        choice = choose(self.config, network=network, search_folder=search)
        folder = self._folder("train", _name(choice), _training_recipe(self.config, choice, search))
        if not is_finished(folder):
            options = {"dataset": self.task.dataset, "resume": True, "watch": self._watch("train")}
            experiment.train(self.config, choice, output=folder, **options)
        return self.evaluated(folder)

    def tune(self) -> Path:
        """A study of `tune.trials` trials; not evaluated."""
        folder = self._folder("tune", self.config.tune.network, {"tune": self.config.tune, "train": self.config.train})
        if not is_finished(folder):
            watch = self._watch("tune")
            tuning.tune(self.config, dataset=self.task.dataset, output=folder, resume=True, watch=watch)
        return folder

    def classical(self, peer: str) -> Path:
        """A classical peer, evaluated; it has no seed."""
        recipe = {"dataset": self._fingerprint, "data": _data(self.config), "threads": self.config.workers.threads}
        folder = _keyed(self.home, f"classical-{peer}", recipe)
        if not is_finished(folder):
            options = {"dataset": self.task.dataset, "resume": True, "watch": self._watch(peer)}
            peers.classical(self.config, peer, output=folder, **options)
        return folder

    def evaluated(self, folder: Path) -> Path:
        """The model's folder, scored on the test pairs."""
        if not is_finished(folder / "test"):
            watch = self._watch("evaluate")
            experiment.evaluate(folder, dataset=self.task.dataset, config=self.config, watch=watch)
        return folder

    @property
    def _fingerprint(self) -> str:
        return self.task.setting.dataset.fingerprint

    def _folder(self, kind: str, name: str, parts: Mapping[str, Any]) -> Path:
        """Folder of a run that trains: what it depends on whatever it is, and `parts`."""
        workers = self.config.workers
        common = {
            "dataset": self._fingerprint,
            "data": _data(self.config),
            "seed": self.config.seed,
            "space": asdict(load_space(self.config.space, dims=self.task.setting.dims)),
            "score": asdict(self.config.score),
            "workers": {
                "shares": workers.most,
                "threads": workers.threads,
                "gpus": workers.gpus,
                "average_every": workers.average_every,
                # not float32, which was the only one at first: such runs keep their folders
                **({} if workers.precision == "float32" else {"precision": workers.precision}),
            },
            "extensions": [Path(file).read_text(encoding="utf-8") for file in loaded_extensions()],
        }
        own = {key: value if isinstance(value, (dict, str)) else asdict(value) for key, value in parts.items()}
        return _keyed(self.home, f"{kind}-{name}-seed-{self.config.seed}", common | own)

    def _watch(self, part: str) -> Watch:
        return self.watch.named(f"{self.label}: {part}")


def device_seconds(folder: Path) -> dict[str, float]:
    """Of a run and those it builds on, by phase."""
    return {phase: float(seconds) for phase, seconds in read_result(folder)["device_seconds"].items()}


def _keyed(home: Path, name: str, recipe: Mapping[str, Any]) -> Path:
    text = json.dumps(recipe, sort_keys=True)
    folder = home / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]}"
    if not (folder / "recipe.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "recipe.json", recipe)
    return folder


def _training_recipe(config: Config, choice: Choice, search: Path | None) -> dict[str, Any]:
    """What a search cost counts for what it found, so a training names the search it came from."""
    came_from = search.name if search else ""
    return {"train": config.train, "network": choice.network, "loss_weights": choice.loss_weights, "search": came_from}


def _name(choice: Choice) -> str:
    searched = "autoreg-" if choice.source and "name" in choice.network else ""
    return f"{searched}{choice.network.get('name', 'autoreg')}"


def _data(config: Config) -> dict[str, Any]:
    """Without the place of the cache, which changes nothing."""
    return {key: value for key, value in asdict(config.data).items() if key != "cache"}

"""What a study's systems are held to: a data set, and which pairs of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoreg.config import Config
from autoreg.data.dataset import Dataset
from autoreg.errors import InputError
from autoreg.setting import Setting, open_setting


@dataclass(frozen=True)
class Task:
    """Test pairs of a data set, and the configuration that trains for them."""

    name: str
    config: Config
    setting: Setting

    @property
    def dataset(self) -> Path:
        return self.setting.dataset.path

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(fixed, moving) keys that every system is scored on."""
        return self.setting.dataset.pairs("test")


def whole_datasets(config: Config, datasets: Sequence[Path | None]) -> list[Task]:
    """A task a data set, with the configuration's own pairs. Raises InputError as `open_setting`."""
    opened = [open_setting(config, path) for path in datasets]
    return _checked([Task(setting.dataset.name, config, setting) for setting in opened])


def modality_pairs(config: Config, datasets: Sequence[Path | None]) -> list[Task]:
    """A task for each modality pair among a data set's lists of test pairs; the data set itself where it has one.

    Raises:
        InputError: as `open_setting`, or a list of test pairs mixes modalities.
    """
    tasks: list[Task] = []
    for task in whole_datasets(config, datasets):
        lists = _lists_by_modalities(task.setting.dataset)
        if config.data.pairs or len(lists) < 2:
            tasks.append(task)
            continue
        for (fixed, moving), pairs in lists.items():
            data = replace(config.data, fixed_modality=fixed, moving_modality=moving, pairs=pairs)
            own = replace(config, data=data)
            tasks.append(Task(f"{task.name} {moving} to {fixed}", own, open_setting(own, task.dataset)))
    return tasks


def _lists_by_modalities(dataset: Dataset) -> dict[tuple[str, str], str]:
    """(fixed, moving) modalities -> the first list of test pairs that has them."""
    found: dict[tuple[str, str], str] = {}
    for name, pairs in dataset.pair_lists.items():
        if not name.startswith("test_pairs") or not pairs:
            continue
        kinds = {(dataset.entries[fixed].modality, dataset.entries[moving].modality) for fixed, moving in pairs}
        if len(kinds) > 1:
            raise InputError(f"{dataset.path}: {name}: expected pairs of one kind, got {len(kinds)} modality pairs")
        found.setdefault(kinds.pop(), name)
    return found


def _checked(tasks: list[Task]) -> list[Task]:
    for task in tasks:
        if not task.pairs:
            raise InputError(f"{task.dataset}: test: expected pairs or subjects in this split, got none")
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise InputError(f"--dataset: expected data sets of different names, got {', '.join(names)}")
    return tasks

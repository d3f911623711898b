"""The evaluation card: what must be known to compare a study's figures with others."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import pandas as pd
import torch

from autoreg.classical import PEERS
from autoreg.config import Config
from autoreg.reporting.card import MEASURES
from autoreg.search.run import read_result
from autoreg.studies.study import Study
from autoreg.studies.table import Result
from autoreg.studies.task import Task
from autoreg.tracking.provenance import standard_tags

_PACKAGES = {"ants": "antspyx", "elastix": "itk-elastix", "convexadam": "convexadam", "fireants": "fireants"}
"""Of the classical peers; NiftyReg is a program that does not tell its version."""


def evaluation_card(
    study: Study, tasks: Sequence[Task], results: Sequence[Result], *, seeds: Sequence[int], number_of_tests: int
) -> dict[str, str]:
    """Heading -> what holds for every row of the table."""
    runs = [read_result(result.outcome.folder) for result in results]
    return {
        **{f"data, {task.name}": _data(task) for task in tasks},
        **MEASURES,
        "seconds": f"s a pair: median of the pairs, registration alone, on {_device_name()}; device-s: seconds times "
        "devices of all that led to the model, work lost to faults included, means over seeds",
        "seeds": f"{', '.join(map(str, seeds))} (initial and classical peers have none); sd of seeds: between the "
        "means of the test pairs",
        "tests": f"against {study.reference}: two-sided Wilcoxon signed-rank test over pairs (means over seeds), p "
        f"adjusted by Holm over the {number_of_tests} tests of this table; pairs that share a subject are not "
        "independent, so p is rather too small",
        "choice of models": "by the score on the validation pairs (Dice less the excess of folds); test subjects are "
        "used for nothing else",
        "budget": _budget(tasks[0].config),
        "code": _joined(f"{run.get('version')} ({run.get('commit')})" for run in runs),
        "versions": ", ".join(f"{name} {version}" for name, version in _versions(results).items()),
        "devices of the runs": _joined(str(run.get("device")) for run in runs),
    }


def pairs_file(task: Task) -> str:
    """Name of the file with a task's pair list."""
    return f"pairs-{task.name.replace(' ', '-').replace('/', '-')}.csv"


def pair_list(task: Task) -> pd.DataFrame:
    """A row a test pair: fixed, moving."""
    return pd.DataFrame(task.pairs, columns=["fixed", "moving"])


def _data(task: Task) -> str:
    labels = ", ".join(f"{number} {name}" for number, name in task.setting.labels.items())
    sides = {name: getattr(task.config.data, f"{name}_modality") for name in ("fixed", "moving")}
    modalities = "".join(f", {name} modality {value}" for name, value in sides.items() if value)
    return (
        f"SHA-256 {task.setting.dataset.fingerprint} (dataset.json and all files); {len(task.pairs)} test pairs in "
        f"{pairs_file(task)}{modalities}; labels {labels or 'none'}"
    )


def _budget(config: Config) -> str:
    search, train = config.search, config.train
    return (
        f"search {search.rounds} rounds of {search.steps_per_round} steps, training {train.steps} steps of "
        f"{train.batch_size} pairs, space {config.space}; a study by hand {config.tune.trials} trials"
    )


def _versions(results: Sequence[Result]) -> Mapping[str, str]:
    versions = {k.removeprefix("version."): v for k, v in standard_tags().items() if k.startswith("version.")}
    used = {result.system for result in results} & set(PEERS) & set(_PACKAGES)
    return versions | {_PACKAGES[peer]: _version(_PACKAGES[peer]) for peer in sorted(used)}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU ({torch.get_num_threads()} threads)"


def _joined(values: Any) -> str:
    return ", ".join(dict.fromkeys(values))

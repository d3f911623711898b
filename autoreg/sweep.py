"""Several searches side by side: seeds, spaces, tasks or any other key, as Ray Tune's trials in one cluster."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg import experiment
from autoreg.baselines.books import trial_folder
from autoreg.baselines.record import FINISHED, WORST_SCORE, Record
from autoreg.config import Config, changed, config_from_dict, config_to_dict, load_space, write_yaml
from autoreg.errors import AutoRegError, ConfigError, InputError
from autoreg.extensions import load_extensions, loaded_extensions
from autoreg.records import run_plan
from autoreg.reporting.watch import Watch
from autoreg.search.run import open_run, read_result
from autoreg.setting import open_setting
from autoreg.storage import Location
from autoreg.tables import load_table

_LOOKED_AT = 5
"""A batch's Dice jumps: ASHA sees the mean of so many rounds."""
_TASK_KEYS = ("dataset", "data.")

Point = dict[str, float | str]
"""Configuration key -> value, as text."""


def points(config: Config, *, seeds: int, vary: Sequence[str]) -> list[Point]:
    """Every combination of the values, the first seed of all of them first.

    Args:
        seeds: so many, from the configuration's on.
        vary: `key=value,value`, as `space=tiny,compact`.

    Raises:
        ConfigError: no such key or value.
    """
    values = {"seed": [str(config.seed + i) for i in range(seeds)]}
    for text in vary:
        key, sign, listed = text.partition("=")
        if not sign or not all(listed.split(",")):
            raise ConfigError(f"--vary {text}: expected key=value,value, for example --vary space=tiny,compact")
        values[key.strip()] = [value.strip() for value in listed.split(",")]
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def sweep(
    config: Config,
    *,
    dataset: Location | None,
    output: Path,
    vary: Sequence[Point],
    concurrent: int = 1,
    asha: bool = True,
    resume: bool = False,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Search at each point; `trials` has a folder a search, trials.parquet a row, result.json says which is best.

    Each search has its own workers; so many searches share the cluster as `concurrent` says. ASHA ends those whose Dice
    of the labels' objective (the last rounds' mean) is not among the best third at their round. Where points are
    different tasks, their Dice mean different things: nobody is ended early, and there is a best one a task.

    Returns:
        A row a search: its point, status, score, device_seconds, folder, and whether it is the best.

    Raises:
        InputError: wrong configuration or data, before any work starts; or the folder is another sweep's.
        AutoRegError: no search came to its end.
    """
    from autoreg.baselines.trials import Trials, run_trials  # Ray takes a second to import

    configs = check_points(config, dataset, vary)
    setting = open_setting(configs[0], None)
    rounds = max(one.search.rounds for one in configs)
    first_look = max(one.search.warmup_rounds for one in configs) + _LOOKED_AT
    workers = config.workers
    several_tasks = len({_task(point) for point in vary}) > 1
    trials = Trials(
        folder=output,
        total=len(vary),
        concurrent=concurrent,
        rounds=rounds,
        grace=first_look if asha and not several_tasks else None,
        workers=workers,
        processes=0 if workers.local else workers.most,
        listed=dict(enumerate(vary)),
    )
    with open_run(run_plan("sweep", configs[0], setting, output), resume=resume) as run:
        write_yaml(output / "config.yaml", run.plan.config)
        record = Record(output / "trials.parquet", list(vary[0]))
        _check_same(record, vary, output)
        setup = {"configs": [config_to_dict(one) for one in configs], "extensions": loaded_extensions()}
        progress = (watch or Watch()).counter("sweep")
        run_trials(
            search_trial,
            setup,
            trials=trials,
            record=record,
            search=None,
            ledger=run.journal.ledger,
            tracker=run.tracker,
            progress=progress,
        )
        table = _table(record, output)
        if not table["best"].any():
            raise AutoRegError(f"{output}: none of {len(table)} searches came to its end; see trials.parquet there")
        run.tracker.artifact(output / "trials.parquet")
        run.finish(searches=table.to_dict("records"))
    return table


def check_points(config: Config, dataset: Location | None, vary: Sequence[Point]) -> list[Config]:
    """The configuration at each point, with its data set and space found to be there. Raises InputError."""
    base = replace(config, dataset=str(dataset)) if dataset else config
    found = []
    for point in vary:
        one = changed(base, [f"{key}={value}" for key, value in point.items()])
        setting = open_setting(one, None)
        load_space(one.space, dims=setting.dims)
        found.append(replace(one, dataset=setting.source))
    return found


def search_trial(
    setup: Mapping[str, Any], parameters: Mapping[str, Any], folder: Path, report: Callable[[int, float], None]
) -> dict[str, float]:
    """One trial of `sweep`: a search, continued if its folder has a part of it.

    Returns:
        score (of the winner's training as far as it was begun; without one the Dice of the last rounds), val_dice,
        folds_percent.
    """
    load_extensions(setup["extensions"])
    config = config_from_dict(setup["configs"][int(folder.name)], "sweep")
    watch = _DiceWatch(report)
    experiment.search(config, dataset=config.dataset, output=folder, resume=True, watch=watch, tracked=False)
    metrics = {k: float(v) for k, v in read_result(folder)["metrics"].items() if v is not None}
    return {"score": _last_dice(folder)} | metrics


class _DiceWatch(Watch):
    """Passes the Dice of a search's last rounds on."""

    def __init__(self, report: Callable[[int, float], None]) -> None:
        super().__init__()
        self._report = report

    def named(self, name: str) -> Watch:
        """Trainings in the end have other rounds."""
        return Watch()

    def counter(self, description: str) -> Callable[..., None]:
        last: deque[float] = deque(maxlen=_LOOKED_AT)

        def count(done: int, total: int, row: Mapping[str, Any]) -> None:
            if "soft_dice" in row:
                last.append(float(row["soft_dice"]))
                self._report(done, sum(last) / len(last))

        return count


def _last_dice(folder: Path) -> float:
    return float(load_table(folder / "history.parquet")["soft_dice"].dropna().tail(_LOOKED_AT).mean())


def _check_same(record: Record, vary: Sequence[Point], output: Path) -> None:
    for number, row in record.rows.items():
        if number >= len(vary) or row.parameters != vary[number]:
            raise InputError(f"{output}: expected the sweep that began there, with trial {number} at {row.parameters}")


def _task(point: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(value for key, value in point.items() if key.startswith(_TASK_KEYS))


def _table(record: Record, output: Path) -> pd.DataFrame:
    """A row a search, in the order of the points."""
    rows = [row for _, row in sorted(record.rows.items())]
    finished = [row for row in rows if row.status == FINISHED and row.told > WORST_SCORE]
    best = {_task(row.parameters): row.trial for row in sorted(finished, key=lambda row: (row.told, -row.trial))}
    return pd.DataFrame(
        [
            {
                **row.parameters,
                "status": row.status,
                "score": row.metrics.get("score"),
                "device_seconds": row.device_seconds,
                "folder": str(trial_folder(output / "trials", row.trial)),
                "best": best.get(_task(row.parameters)) == row.trial,
            }
            for row in rows
        ]
    )

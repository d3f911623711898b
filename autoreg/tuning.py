"""Manual tuning as a study: trials of full trainings, by Ray Tune and Optuna."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoreg import experiment
from autoreg.choice import Choice
from autoreg.config import Config, config_from_dict, config_to_dict, load_space, write_yaml
from autoreg.errors import AutoRegError, InputError
from autoreg.experiment import has_labelled_pairs
from autoreg.extensions import load_extensions, loaded_extensions
from autoreg.records import run_plan
from autoreg.reporting.html import run_report
from autoreg.reporting.watch import Watch
from autoreg.search.run import MLFLOW_MODEL, open_run, read_result
from autoreg.serving.package import package_model
from autoreg.setting import Setting, check_devices, open_setting
from autoreg.storage import Location


def tune(
    config: Config, *, dataset: Location | None, output: Path, resume: bool = False, watch: Watch | None = None
) -> Path:
    """Tune learning rate and loss weights as people do, by full trainings; the folder then holds the best model.

    trials.parquet has a row a trial.

    Raises:
        InputError: wrong configuration or data, before any work starts.
        AutoRegError: no trial gave a model.
    """
    # Ray and Optuna take seconds to import, and the other commands do without Optuna.
    from autoreg.baselines.ranges import first_parameters, study_ranges
    from autoreg.baselines.tune import Study, run_study

    check_devices(config.workers)
    setting = open_setting(config, dataset)
    space = load_space(config.space, dims=setting.dims)
    _check_selection(setting, config.seed)
    primitives = config.tune.primitives
    study = Study(
        folder=output,
        config=config.tune,
        workers=config.workers,
        ranges=study_ranges(space, primitives=primitives),
        first=first_parameters(space, learning_rate=config.train.learning_rate, primitives=primitives),
        rounds=config.train.rounds,
        seed=config.seed,
    )
    watch = watch or Watch()
    with open_run(run_plan("tune", config, setting, output), resume=resume) as run:
        write_yaml(output / "config.yaml", run.plan.config)
        record = run_study(
            train_trial,
            {
                "config": config_to_dict(config),
                "dataset": setting.source,
                "extensions": loaded_extensions(),
            },
            study=study,
            ledger=run.journal.ledger,
            tracker=run.tracker,
            progress=watch.counter("tune", first=config.train.evaluate_every),
        )
        best = record.best()
        if best is None:
            raise AutoRegError(f"{output}: none of {len(record.rows)} trials gave a model; see trials.parquet there")
        chosen = _copy_model(study.trial_folder(best.trial), output)
        run.tracker.artifact(output / "trials.parquet")
        package_model(output / "model.pt", output / MLFLOW_MODEL)
        run.finish(best_trial=best.trial, trials=len(record.rows), **chosen)
        run_report(output)
    return output


def train_trial(
    setup: Mapping[str, Any], parameters: Mapping[str, Any], folder: Path, report: Callable[[int, float], None]
) -> dict[str, float]:
    """One trial of `tune`: a full training with these parameters, continued if its folder has a part of it.

    Returns:
        Metrics of the best state: score, val_dice, folds_percent.

    Raises:
        DivergedError: the training diverged.
    """
    from autoreg.baselines.ranges import LEARNING_RATE, loss_weights, network  # Optuna is imported for trials only

    load_extensions(setup["extensions"])
    config = config_from_dict(setup["config"], "study")
    config = replace(
        config,
        train=replace(config.train, learning_rate=parameters[LEARNING_RATE], step_backs=0),
        workers=replace(config.workers, local=True, count=1, min=None, max=None),
    )
    setting = open_setting(config, setup["dataset"])
    space = load_space(config.space, dims=setting.dims)
    choice = Choice(network(parameters, space, config.tune.network), loss_weights(parameters, space))
    watch = _TrialWatch(report)
    experiment.train(config, choice, dataset=setup["dataset"], output=folder, resume=True, watch=watch, tracked=False)
    return {k: float(v) for k, v in read_result(folder)["metrics"].items() if v is not None}


class _TrialWatch(Watch):
    """Passes the scores of a training on to its study."""

    def __init__(self, report: Callable[[int, float], None]) -> None:
        super().__init__()
        self._report = report

    def counter(self, description: str) -> Callable[..., None]:
        def count(done: int, total: int, row: Mapping[str, Any]) -> None:
            if "score" in row:
                self._report(done, float(row["score"]))

        return count


def _check_selection(setting: Setting, seed: int) -> None:
    """Raises InputError when nothing can be scored."""
    roles = setting.roles(seed)
    if not has_labelled_pairs(setting, roles):
        where = f"{setting.dataset.path}: validation"
        without = len(setting.selection_pairs(roles))
        raise InputError(f"{where}: expected pairs with labels to choose models by, got {without} without")


def _copy_model(trial: Path, output: Path) -> dict[str, Any]:
    """The trial's model, now also the study's; returns what result.json says of it."""
    for name in ("model.pt", "genotype.yaml", "loss_weights.yaml"):
        if (trial / name).exists():
            shutil.copyfile(trial / name, output / name)
    result = read_result(trial)
    return {name: result.get(name) for name in ("metrics", "genotype", "loss_weights", "network")}

"""Where runs, evaluations and comparisons are written down: result.json, and the tracked runs they belong to."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autoreg.config import Config, config_to_dict
from autoreg.errors import InputError
from autoreg.mirror import known_as
from autoreg.search.run import RunPlan, read_result, write_json
from autoreg.setting import Setting
from autoreg.tracking.mlflow_tracker import open_tracker

logger = logging.getLogger(__name__)


def run_plan(command: str, config: Config, setting: Setting, output: Path) -> RunPlan:
    """What a run of this command is called and where it is recorded."""
    return RunPlan(
        command=command,
        folder=output,
        seed=config.seed,
        dataset_name=setting.dataset.name,
        dataset_hash=setting.dataset.fingerprint,
        config=config_to_dict(replace(config, dataset=setting.source)),
        experiment=config.tracking.experiment or setting.dataset.name,
        tracking_uri=config.tracking.uri,
        home=Path(config.tracking.home),
    )


def refined_system(folder: Path, steps: int) -> Path:
    """The folder of a model with refined displacements: a system of its own for comparisons, at the model's cost."""
    system = folder / f"refined-{steps}"
    system.mkdir(parents=True, exist_ok=True)
    trained = read_result(folder) if (folder / "result.json").exists() else {"command": "train"}
    write_json(system / "result.json", {**trained, "name": f"{folder.name} refined {steps}"})
    return system


def record_evaluation(
    folder: Path, output: Path, setting: Setting, split: str, metrics: Mapping[str, float], *, refine: int = 0
) -> None:
    """result.json beside the pairs, and the figures in the model's own run."""
    trained = read_result(folder) if (folder / "result.json").exists() else {}
    carried = {
        k: trained.get(k)
        for k in ("seed", "version", "commit", "device_seconds", "genotype", "loss_weights", "mlflow_run_id")
    }
    write_json(
        output / "result.json",
        {
            "command": "evaluate",
            "name": folder.name,
            "status": "finished",
            "split": split,
            "refine": refine,
            "dataset": setting.dataset.name,
            "dataset_hash": setting.dataset.fingerprint,
            **carried,
            "metrics": {"val_dice": trained.get("metrics", {}).get("val_dice"), **metrics},
        },
    )


def track_evaluation(folder: Path, output: Path, name: str, metrics: Mapping[str, float]) -> None:
    """The evaluation as metrics and files of the model's own run, under `name`."""
    trained = read_result(folder) if (folder / "result.json").exists() else {}
    if not trained.get("mlflow_run_id"):
        return
    uri, run_id = trained["mlflow_tracking_uri"], trained["mlflow_run_id"]
    try:
        opened = open_tracker(uri, experiment=trained["dataset"], run_name=folder.name, run_id=run_id, home=folder)
    except InputError as error:
        if known_as(folder) == folder:
            raise
        logger.warning("%s; the evaluation is in %s alone", error, output)  # the store of another machine
        return
    with opened as tracker:
        tracker.metrics({f"{name}.{k.removeprefix('test_')}": float(v) for k, v in metrics.items() if v == v}, step=0)
        for file in (output / "pairs.parquet", *sorted((output / "figures").glob("*.png"))):
            tracker.artifact(file, name)


def track_comparison(runs: list[Path], output: Path) -> None:
    """The comparison as a run of its own, next to the first of the compared."""
    first = read_result(runs[0])
    if not first.get("mlflow_run_id"):
        return
    tags = {"command": "compare", "compared": ", ".join(str(run) for run in runs)}
    uri = first["mlflow_tracking_uri"]
    with open_tracker(
        uri, experiment=first["dataset"], run_name=f"compare {output.name}", home=output, tags=tags
    ) as tracker:
        for file in sorted(output.glob("compar*.*")):
            tracker.artifact(file)

"""Where runs, evaluations and comparisons are written down: result.json, and the tracked runs they belong to."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from autoreg.config import Config, config_to_dict
from autoreg.errors import InputError
from autoreg.mirror import known_as
from autoreg.reporting.comparison import Comparison
from autoreg.reporting.documents import as_markdown
from autoreg.search.run import RunPlan, read_result, run_name, write_json
from autoreg.setting import Setting
from autoreg.tracking.mlflow_tracker import compare_page, open_tracker
from autoreg.tracking.note import NOTE

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


def trained_on(folder: Path) -> str | None:
    """Name of the data set of the model in a folder; None where nothing but the model is there."""
    return read_result(folder).get("dataset") if (folder / "result.json").exists() else None


def evaluated_otherwise(folder: Path, dataset: str, overrides: Sequence[str], refine: int) -> tuple[str, ...]:
    """In what the evaluation of a model differs from how it was trained: a data set of another name, changed keys of
    `data`, refined displacements; nothing where it is the model's own."""
    other = (dataset,) if trained_on(folder) not in (None, dataset) else ()
    refined = (f"refined-{refine}",) if refine else ()
    return (*other, *(text.removeprefix("data.") for text in overrides), *refined)


def system_name(ways: Sequence[str]) -> str:
    """One part of a path, and a name in MLflow."""
    return re.sub(r"[^\w.-]", "-", "-".join(ways)).lstrip(".")


def system_folder(folder: Path, ways: Sequence[str]) -> Path:
    """The folder of a model, or one below it, a system of its own for comparisons at the model's cost."""
    if not ways:
        return folder
    system = folder / system_name(ways)
    system.mkdir(parents=True, exist_ok=True)
    trained = read_result(folder) if (folder / "result.json").exists() else {"command": "train"}
    write_json(system / "result.json", {**trained, "name": " ".join([folder.name, *ways])})
    return system


def record_evaluation(
    folder: Path,
    output: Path,
    setting: Setting,
    split: str,
    metrics: Mapping[str, float],
    *,
    refine: int = 0,
    halvings: int | None = None,
) -> None:
    """result.json beside the pairs, and the figures in the model's own run."""
    trained = read_result(folder) if (folder / "result.json").exists() else {}
    carried = {
        k: trained.get(k)
        for k in ("seed", "version", "commit", "device_seconds", "network", "genotype", "loss_weights", "mlflow_run_id")
    }
    write_json(
        output / "result.json",
        {
            "command": "evaluate",
            "name": folder.name,
            "status": "finished",
            "split": split,
            "refine": refine,
            **({"refine_halvings": halvings} if refine else {}),
            "dataset": setting.dataset.name,
            "dataset_hash": setting.dataset.fingerprint,
            "dataset_path": str(setting.dataset.path.resolve()),
            "labels": {str(number): name for number, name in setting.labels.items()},
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
        tracker.metrics({f"{name}/{k.removeprefix('test_')}": float(v) for k, v in metrics.items() if v == v}, step=0)
        for file in (output / "pairs.parquet", output / "report.html", *sorted((output / "figures").glob("*.png"))):
            tracker.artifact(file, name)


def track_comparison(runs: Sequence[Path], comparison: Comparison) -> None:
    """The comparison as a run of its own, next to the first of the compared, with a way to their common page."""
    results = [read_result(run) for run in runs]
    first, output = results[0], comparison.output
    if not first.get("mlflow_run_id"):
        return
    uri = first["mlflow_tracking_uri"]
    ids = [r["mlflow_run_id"] for r in results if r.get("mlflow_tracking_uri") == uri and r.get("mlflow_run_id")]
    shown = comparison.shown()[["system", "Dice (mean ± sd)", "folds %", "total device-s"]]
    findings = "\n".join(f"- {line}" for line in comparison.findings())
    note = f"[These runs side by side]({compare_page(uri, ids)})\n\n{as_markdown(shown)}\n\n{findings}\n"
    tags = {"command": "compare", "compared": ", ".join(str(run) for run in runs), NOTE: note}
    name = run_name("compare", output)
    with open_tracker(uri, experiment=first["dataset"], run_name=name, home=output, tags=tags) as tracker:
        tracker.metrics(_compared(comparison), step=0)
        for file in sorted(output.glob("compar*.*")):
            tracker.artifact(file)


def _compared(comparison: Comparison) -> dict[str, float]:
    """A figure a system: dice/SYSTEM and so on."""
    columns = ("dice", "hd95_mm", "folds_percent", "total_device_seconds")
    rows = comparison.table.to_dict("records")
    return {f"{c}/{row['system']}": float(row[c]) for c in columns for row in rows if row[c] == row[c]}

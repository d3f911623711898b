"""What the page of a run shows, by what its folder holds."""

import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from autoreg.errors import InputError, SearchSpaceError
from autoreg.networks import Genotype
from autoreg.reporting.console import cell
from autoreg.reporting.evaluation_page import evaluation_sections
from autoreg.reporting.figures import (
    alpha_axes,
    alpha_heatmap,
    alpha_over_time,
    architecture_graph,
    describe_architecture,
    front_figure,
    lambda_paths,
    quality_against_cost,
    training_curve,
)
from autoreg.reporting.folders import read_result, read_table, read_yaml
from autoreg.reporting.page import Picture, Section, picture
from autoreg.reporting.statistics import best_of_n

_DRAWN_HERE = {"objectives", "alpha", "alpha_over_time", "lambda", "front"}  # from the tables, by the page itself
_SAID = {
    "overlay": "A registered pair: fixed, moving and warped image, checkerboard, differences before and after, "
    "deformation grid and Jacobian map, on the middle slices"
}

_REPEAT = {
    "search": ["autoreg search {run}/config.yaml --dataset {data} --output NEW",
               "autoreg train --search {run} --dataset {data}"],
    "train": ["autoreg train {run}/config.yaml {network} --loss-weights {run}/loss_weights.yaml --dataset {data}",
              "autoreg evaluate {run} --dataset {data} --split test"],
    "tune": ["autoreg tune {run}/config.yaml --dataset {data} --output NEW",
             "autoreg evaluate {run} --dataset {data} --split test"],
    "evaluate": ["autoreg evaluate {model} --dataset {data} --split {split}"],
}  # fmt: skip


def run_sections(run: Path) -> tuple[str, list[Section]]:
    """Title and sections of a run's page; raises InputError without a readable result.json."""
    result = read_result(run)
    title = f"AutoReg {result.get('command', 'run')}: {result.get('name', run.name)}"
    sections = [
        Section("Result", facts=_facts(result), table=_rows(result.get("metrics"), "metric", "value")),
        *_chosen(run, result),
        *_finalists(run, result),
        *_history(run),
        *_trials(run),
        *evaluation_sections(run, result),
        *_pictures(run),
        *_cost(result),
        *_repeat(run, result),
    ]
    return title, sections


def _facts(result: Mapping[str, Any]) -> dict[str, object]:
    facts = {name: result.get(name) for name in ("status", "dataset", "split", "seed", "version", "commit", "device")}
    facts["wall time"] = f"{result['wall_seconds']:.0f} s" if result.get("wall_seconds") is not None else None
    facts["MLflow run"] = result.get("mlflow_run_id")
    # A tracking address may carry a password.
    facts["MLflow store"] = re.sub(r"//[^/@]*@", "//", str(result.get("mlflow_tracking_uri") or ""))
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _rows(values: Mapping[str, Any] | None, *names: str) -> pd.DataFrame | None:
    return pd.DataFrame(list(values.items()), columns=pd.Index(names), dtype=object) if values else None


def _chosen(run: Path, result: Mapping[str, Any]) -> list[Section]:
    sections = []
    if (weights := _rows(result.get("loss_weights"), "term", "lambda")) is not None:
        sections.append(Section("Loss weights", table=weights))
    if (edges := _rows(result.get("genotype"), "edge", "primitive")) is not None:
        sections.append(Section("Architecture", text=_decided(result), table=edges, pictures=_graph(run)))
    return sections


def _decided(result: Mapping[str, Any]) -> str:
    """What alpha had evidence for; empty for a run that searched no architecture."""
    if result.get("decided") is None:
        return ""
    if not result["decided"]:
        return "Alpha had evidence for no change of the stated architecture."
    return f"Alpha had evidence against the stated architecture at {', '.join(result['decided'])}."


def _graph(run: Path) -> list[Picture]:
    """The network of genotype.yaml; none for one that needs an extension which is not loaded."""
    try:
        genotype = Genotype.from_dict(read_yaml(run / "genotype.yaml"))
    except (InputError, SearchSpaceError):
        return []
    return [picture(architecture_graph(genotype), describe_architecture(genotype))]


def _finalists(run: Path, result: Mapping[str, Any]) -> list[Section]:
    """What the trainings that a search begins in its end said."""
    sections = []
    if result.get("finalists"):
        table = pd.DataFrame(result["finalists"]).drop(columns="folder", errors="ignore")
        text = f"Trainings that searched and default choices began. The result is: {result.get('chosen')}."
        sections.append(Section("Finalists", text=text, table=table))
    if (run / "front.csv").exists():
        table = pd.read_csv(run / "front.csv")
        text = "Dice, folds and time around the result; train one with --genotype and --loss-weights of its folder."
        said = f"Dice against folded voxels of {len(table)} candidates"
        sections.append(Section("Front", text=text, table=table, pictures=[picture(front_figure(table), said)]))
    return sections


def _history(run: Path) -> list[Section]:
    path = run / "history.parquet"
    if not path.exists():
        return []
    history = read_table(path, ["round"], command=f"autoreg status {run}")
    if history.empty:
        return []
    pictures = [picture(training_curve(history), f"Objectives of each level over {len(history)} rounds")]
    edges, primitives = alpha_axes(history)
    if edges:
        alt = f"Probabilities of {len(primitives)} primitives on {len(edges)} edges over rounds"
        pictures.append(picture(alpha_over_time(history, edges, primitives), alt))
        alt = f"Probabilities after the last round; the entropy ends at {cell(_last(history, 'alpha_entropy'))} nats"
        pictures.append(picture(alpha_heatmap(history, edges, primitives), alt))
    terms = [str(name) for name in history if str(name).startswith("lambda.")]
    if terms:
        ends = ", ".join(f"{name.removeprefix('lambda.')} {cell(_last(history, name))}" for name in terms)
        pictures.append(picture(lambda_paths(history), f"Loss weights over rounds, in the end {ends}; Dice below"))
    workers = f" on {int(history['workers'].iloc[-1])} workers" if "workers" in history else ""
    return [Section("Course", text=f"{len(history)} rounds{workers}.", pictures=pictures)]


def _last(history: pd.DataFrame, column: str) -> float | None:
    values = history[column].dropna().tolist() if column in history else []
    return float(values[-1]) if values else None


def _trials(run: Path) -> list[Section]:
    path = run / "trials.parquet"
    if not path.exists():
        return []
    trials = read_table(path, ["trial", "score"], command=f"autoreg tune {run}/config.yaml --resume --output {run}")
    trials = trials.drop(columns="mlflow_run_id", errors="ignore").sort_values("score", ascending=False)
    return [Section("Trials", text="Best score first.", table=trials, pictures=_curve(trials))]


def _curve(trials: pd.DataFrame) -> list[Picture]:
    """Expected best of n trials against their cost, if the table says what they cost."""
    if not {"status", "device_seconds", "val_dice"} <= set(trials):
        return []
    score = trials["score"].where(trials["status"] == "finished")
    curve = best_of_n(score.to_numpy(), trials["device_seconds"].to_numpy(), values=trials["val_dice"].to_numpy())
    if curve.empty:
        return []
    points = pd.DataFrame(columns=["system", "device_seconds", "value"], dtype=float)
    best = curve.iloc[-1]
    alt = f"Expected validation Dice of the best of n trials; of all {len(curve)}: {cell(float(best['mean']))}"
    return [picture(quality_against_cost({"this study": curve}, points), alt)]


def _pictures(run: Path) -> list[Section]:
    files = [path for path in sorted((run / "figures").glob("*.png")) if path.stem not in _DRAWN_HERE]
    pictures = [Picture(path.read_bytes(), _SAID.get(path.stem, f"{path.stem.replace('_', ' ')} of this run"), 540)
                for path in files]  # fmt: skip
    return [Section("Pictures", pictures=pictures)] if pictures else []


def _cost(result: Mapping[str, Any]) -> list[Section]:
    seconds = result.get("device_seconds") or {}
    if not seconds:
        return []
    wasted = result.get("wasted_seconds") or {}
    rows = [{"phase": p, "device-seconds": float(s), "of these lost": wasted.get(p)} for p, s in seconds.items()]
    rows.append({"phase": "total", "device-seconds": float(sum(seconds.values())), "of these lost": None})
    text = "Work of earlier runs that this one builds on is counted; what is lost was done again after a fault."
    return [Section("Cost", text=text, table=pd.DataFrame(rows))]


def _repeat(run: Path, result: Mapping[str, Any]) -> list[Section]:
    has_genotype = (run / "genotype.yaml").exists()
    shell = quote(str(run))
    network = f"--genotype {shell}/genotype.yaml" if has_genotype else f"--network {result.get('network')}"
    names = {"run": shell, "model": quote(str(run.parent)), "network": network, "split": result.get("split", "test")}
    names["data"] = quote(_dataset(run, result))
    lines = [line.format(**names) for line in _REPEAT.get(str(result.get("command")), [])]
    sections = [Section("Commands to repeat and go on", code="\n".join(lines))] if lines else []
    config = run / "config.yaml"
    if config.exists():
        sections.append(Section("Configuration", code=config.read_text(encoding="utf-8")))
    return sections


def _dataset(run: Path, result: Mapping[str, Any]) -> str:
    """Where the data were; the part that a reader elsewhere has to change."""
    if result.get("dataset_path"):
        return str(result["dataset_path"])
    try:
        return str(read_yaml(run / "config.yaml").get("dataset") or "D.json")
    except InputError:
        return "D.json"

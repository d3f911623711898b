"""What the page of a run shows, by what its folder holds."""

import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from autoreg.reporting.console import cell
from autoreg.reporting.figures import (
    alpha_axes,
    alpha_heatmap,
    dice_boxes,
    lambda_paths,
    png_bytes,
    training_curve,
)
from autoreg.reporting.folders import read_result, read_table
from autoreg.reporting.page import Picture, Section

_DRAWN_HERE = {"objectives", "alpha", "lambda"}  # pictures of the history, which the page draws itself

_REPEAT = {
    "search": ["autoreg search {run}/config.yaml --dataset D.json --output NEW", "autoreg train --search {run}"],
    "train": ["autoreg train {run}/config.yaml {network} --loss-weights {run}/loss_weights.yaml --dataset D.json",
              "autoreg evaluate {run} --dataset D.json --split test"],
    "tune": ["autoreg tune {run}/config.yaml --dataset D.json --output NEW",
             "autoreg evaluate {run} --dataset D.json --split test"],
    "evaluate": ["autoreg evaluate {model} --dataset D.json --split {split}"],
}  # fmt: skip


def run_sections(run: Path) -> tuple[str, list[Section]]:
    """Title and sections of a run's page; raises InputError without a readable result.json."""
    result = read_result(run)
    title = f"AutoReg {result.get('command', 'run')}: {result.get('name', run.name)}"
    sections = [
        Section("Result", facts=_facts(result), table=_rows(result.get("metrics"), "metric", "value")),
        *_chosen(result),
        *_finalists(run, result),
        *_history(run),
        *_trials(run),
        *_pairs(run),
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


def _chosen(result: Mapping[str, Any]) -> list[Section]:
    tables = {
        "Loss weights": _rows(result.get("loss_weights"), "term", "lambda"),
        "Architecture": _rows(result.get("genotype"), "edge", "primitive"),
    }
    return [Section(title, table=table) for title, table in tables.items() if table is not None]


def _finalists(run: Path, result: Mapping[str, Any]) -> list[Section]:
    """What the brief trainings at the end of a search said."""
    sections = []
    if result.get("finalists"):
        table = pd.DataFrame(result["finalists"]).drop(columns="folder", errors="ignore")
        text = f"Brief trainings of searched and default choices. The result is: {result.get('chosen')}."
        sections.append(Section("Finalists", text=text, table=table))
    if (run / "front.csv").exists():
        table = pd.read_csv(run / "front.csv")
        text = "Dice, folds and time around the result; train one with --genotype and --loss-weights of its folder."
        sections.append(Section("Front", text=text, table=table))
    return sections


def _history(run: Path) -> list[Section]:
    path = run / "history.parquet"
    if not path.exists():
        return []
    history = read_table(path, ["round"], command=f"autoreg status {run}")
    if history.empty:
        return []
    pictures = [
        Picture(png_bytes(training_curve(history)), "Objectives of each level, and validation Dice, over rounds")
    ]
    edges, primitives = alpha_axes(history)
    if edges:
        alt = f"Probabilities of {len(primitives)} primitives on {len(edges)} edges, and their entropy over rounds"
        pictures.append(Picture(png_bytes(alpha_heatmap(history, edges, primitives)), alt))
    if any(str(name).startswith("lambda.") for name in history):
        pictures.append(Picture(png_bytes(lambda_paths(history)), "Loss weight of each term over rounds"))
    workers = f" on {int(history['workers'].iloc[-1])} workers" if "workers" in history else ""
    return [Section("Course", text=f"{len(history)} rounds{workers}.", pictures=pictures)]


def _trials(run: Path) -> list[Section]:
    path = run / "trials.parquet"
    if not path.exists():
        return []
    trials = read_table(path, ["trial", "score"], command=f"autoreg tune {run}/config.yaml --resume --output {run}")
    trials = trials.drop(columns="mlflow_run_id", errors="ignore").sort_values("score", ascending=False)
    return [Section("Trials", text="Best score first.", table=trials)]


def _pairs(run: Path) -> list[Section]:
    path = run / "pairs.parquet"
    if not path.exists():
        return []
    pairs = read_table(path, ["fixed", "moving", "label", "dice"], command=f"autoreg evaluate {run.parent}")
    columns = [name for name in ("initial_dice", "dice", "hd95_mm") if name in pairs]
    by_label = pairs.groupby("label")[columns].mean().reset_index()
    by_pair = pairs.groupby(["fixed", "moving"], sort=False)[columns].mean()
    if by_pair["dice"].isna().all():
        return [Section("Pairs", text=f"{len(by_pair)} pairs without labels.")]
    drawn = {"initial": "initial_dice", "registered": "dice"}
    boxes = pd.concat(
        [pd.DataFrame({"system": s, "dice": by_pair[c]}) for s, c in drawn.items() if c in columns], ignore_index=True
    )
    mean = f"mean Dice {cell(float(by_pair['dice'].mean()))}"
    picture = Picture(png_bytes(dice_boxes(boxes)), f"Dice of {len(by_pair)} pairs, {mean}")
    return [Section("Pairs", text=f"{len(by_pair)} pairs; means by label:", table=by_label, pictures=[picture])]


def _pictures(run: Path) -> list[Section]:
    files = [path for path in sorted((run / "figures").glob("*.png")) if path.stem not in _DRAWN_HERE]
    pictures = [Picture(path.read_bytes(), f"{path.stem.replace('_', ' ')} of this run") for path in files]
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
    lines = [line.format(**names) for line in _REPEAT.get(str(result.get("command")), [])]
    sections = [Section("Commands to repeat and go on", code="\n".join(lines))] if lines else []
    config = run / "config.yaml"
    if config.exists():
        sections.append(Section("Configuration", code=config.read_text(encoding="utf-8")))
    return sections

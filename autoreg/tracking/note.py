"""What a run says of itself on its page in a tracking store, in Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run."""

_METRICS = {
    "val_dice": "validation Dice",
    "test_dice": "test Dice",
    "soft_dice": "soft Dice",
    "folds_percent": "folded voxels (percent)",
    "sdlogj": "SDlogJ",
}
_NEXT = {
    "search": "autoreg train --search {folder}",
    "train": "autoreg evaluate {folder}",
    "tune": "autoreg evaluate {folder}",
}


def run_note(result: Mapping[str, Any], folder: Path) -> str:
    """Quality, loss weights, cost, and where pictures and files are, from result.json."""
    lines = [_quality(result.get("metrics") or {})]
    if result.get("best_trial") is not None:
        lines.append(f"Best of {result.get('trials')} trials: **trial {result['best_trial']}**.")
    if result.get("chosen"):
        lines.append(f"Chosen among the finalists: **{result['chosen']}**.")
    if result.get("loss_weights"):
        lines.append(_table(("term", "lambda"), result["loss_weights"]))
    if result.get("genotype"):
        lines.append("Architecture: " + ", ".join(f"{edge} {name}" for edge, name in result["genotype"].items()))
    seconds = result.get("device_seconds") or {}
    if seconds:
        phases = ", ".join(f"{phase} {value:.0f}" for phase, value in seconds.items())
        lines.append(f"Cost: **{sum(seconds.values()):.0f} device-seconds** ({phases}).")
    lines.append(f"Pictures: artifacts `report.html` and `figures`. Files: `{folder}`.")
    if result.get("command") in _NEXT:
        lines.append(f"Next: `{_NEXT[result['command']].format(folder=folder)}`")
    return "\n\n".join(line for line in lines if line)


def _quality(metrics: Mapping[str, Any]) -> str:
    known = [f"{words} **{metrics[name]:.4g}**" for name, words in _METRICS.items() if metrics.get(name) is not None]
    text = ", ".join(known)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _table(heads: tuple[str, str], values: Mapping[str, float]) -> str:
    rows = [f"| {name} | {value:.4g} |" for name, value in values.items()]
    return "\n".join([f"| {heads[0]} | {heads[1]} |", "|---|---:|", *rows])

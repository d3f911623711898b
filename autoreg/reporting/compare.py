"""Systems against each other on the same test pairs, and their quality against what they cost."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.reporting.console import as_text, cell, table
from autoreg.reporting.documents import as_markdown
from autoreg.reporting.figures import dice_boxes, png_bytes, quality_against_cost
from autoreg.reporting.html import write_report
from autoreg.reporting.notebook import picture_html
from autoreg.reporting.page import Picture, Section
from autoreg.reporting.statistics import best_of_n, bootstrap_interval, holm, paired_test
from autoreg.reporting.systems import System, read_systems

INITIAL = "initial"
"""The row of the pairs as they are, before registration."""

_PHASES = ("search", "train", "trials")


@dataclass(frozen=True)
class Comparison:
    """The outcome of `compare_runs`.

    Attributes:
        table: a row a system, the unregistered pairs first.
        tests: each system against the first one, matched pairs, p-values adjusted by Holm.
        curves: expected best of n trials of each study, see `best_of_n`.
        points: system, device_seconds and value (validation Dice) of each trained system.
        break_even: study, system, trials: how many trials cost as much as the system's search and training.
    """

    table: pd.DataFrame
    tests: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    points: pd.DataFrame
    break_even: pd.DataFrame
    output: Path

    def shown(self) -> pd.DataFrame:
        """The table with units in its heads and short values, as people read it."""
        return pd.DataFrame([_shown_row(row) for row in self.table.to_dict("records")])

    def text(self) -> str:
        """The table for a terminal, and what follows from it, a line each."""
        return "\n".join([as_text(table(self.shown().to_dict("records"))), *self.findings()])

    def _repr_html_(self) -> str:
        """What a notebook shows: the table, and quality against cost."""
        lines = "".join(f"<p>{escape(line)}</p>" for line in self.findings())
        return (
            self.shown().to_html(index=False)
            + lines
            + picture_html((self.output / "compare.png").read_bytes(), "Dice against device-seconds")
        )

    def findings(self) -> list[str]:
        """Differences to the first system, and break-even points, as sentences."""
        lines = [
            f"{row['system']} - {row['against']}: {row['mean_difference']:+.4f} Dice "
            f"[{row['low']:+.4f}, {row['high']:+.4f}], p = {cell(row['p_holm'])} (Wilcoxon, Holm, {row['n']} pairs)"
            for row in self.tests.to_dict("records")
        ]
        return lines + [
            f"{row['system']}: search and training cost as much as {row['trials']:.2f} trials of {row['study']}"
            for row in self.break_even.to_dict("records")
        ]


def compare_runs(run_dirs: Sequence[Path], *, output: Path) -> Comparison:
    """Compare evaluated run folders from their files alone.

    Args:
        run_dirs: folders of trainings and tuning studies; the first is what the others are held against.
        output: folder for compare.csv, compare.md, compare.png, compare.html and comparison.json.

    Raises:
        InputError: a file is missing (with the command that makes it), or the systems were not evaluated on
            the same pairs, labels and data.
    """
    systems = read_systems(run_dirs)
    comparison = Comparison(
        table=_table(systems),
        tests=_tests(systems),
        curves={s.name: _curve(s.trials) for s in systems if s.trials is not None},
        points=_points(systems),
        break_even=_break_even(systems),
        output=Path(output),
    )
    _write(comparison, systems)
    return comparison


def _table(systems: Sequence[System]) -> pd.DataFrame:
    first = systems[0]
    rows = [_row(system, first.total_seconds) for system in systems]
    if {"initial_dice", "initial_hd95_mm"} <= set(first.by_pair) and first.by_pair["initial_dice"].notna().any():
        before = {"hd95_mm": float(first.by_pair["initial_hd95_mm"].mean()), "folds_percent": 0.0, "sdlogj": 0.0}
        rows.insert(0, {"system": INITIAL} | _dice(first.by_pair["initial_dice"]) | before)
    return pd.DataFrame(rows, columns=list(_row(first, 1.0)))


def _dice(values: pd.Series) -> dict[str, Any]:
    low, high = bootstrap_interval(values.to_numpy())
    return {
        "pairs": int(values.notna().sum()),
        "dice": float(values.mean()),
        "dice_sd": float(values.std()),
        "dice_low": low,
        "dice_high": high,
    }


def _row(system: System, first_total: float) -> dict[str, Any]:
    seconds, means = system.device_seconds, system.by_pair.mean()
    return {
        "system": system.name,
        **_dice(system.by_pair["dice"]),
        **{name: float(means[name]) for name in ("hd95_mm", "folds_percent", "sdlogj")},
        "seconds_a_pair": float(system.by_pair["seconds"].median()),  # the first pair is a cold one
        **{f"{phase}_device_seconds": seconds.get(phase, 0.0) for phase in _PHASES},
        "total_device_seconds": system.total_seconds,
        "wasted_device_seconds": system.wasted_seconds,
        "cost_ratio": system.total_seconds / first_total if first_total else float("nan"),
    }


def _tests(systems: Sequence[System]) -> pd.DataFrame:
    first = systems[0]
    rows = []
    for system in systems[1:]:
        matched = system.by_pair["dice"].reindex(first.by_pair.index)
        test = paired_test(matched.to_numpy(), first.by_pair["dice"].to_numpy())
        low, high = test.pop("interval")
        rows.append({"system": system.name, "against": first.name, **test, "low": low, "high": high})
    columns = ["system", "against", "n", "mean_difference", "low", "high", "p_value"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(p_holm=holm(frame["p_value"].tolist()))


def _curve(trials: pd.DataFrame) -> pd.DataFrame:
    # A trial that was stopped early has a score but no model to choose.
    score = trials["score"].where(trials["status"] == "finished")
    return best_of_n(score.to_numpy(), trials["device_seconds"].to_numpy(), values=trials["val_dice"].to_numpy())


def _points(systems: Sequence[System]) -> pd.DataFrame:
    rows = [
        {"system": s.name, "device_seconds": s.total_seconds, "value": s.val_dice} for s in systems if s.trials is None
    ]
    frame = pd.DataFrame(rows, columns=["system", "device_seconds", "value"])
    return frame.dropna(subset=["value"]).astype({"device_seconds": float, "value": float})


def _break_even(systems: Sequence[System]) -> pd.DataFrame:
    rows = []
    for study in (s for s in systems if s.trials is not None):
        a_trial = float(study.trials["device_seconds"].mean())  # type: ignore[index]
        for system in (s for s in systems if s.trials is None and a_trial > 0):
            cost = sum(system.device_seconds.get(phase, 0.0) for phase in ("search", "train"))
            rows.append({"study": study.name, "system": system.name, "trials": cost / a_trial})
    return pd.DataFrame(rows, columns=["study", "system", "trials"])


def _shown_row(row: dict[str, Any]) -> dict[str, str]:
    dice = f"{row['dice']:.3f} ± {row['dice_sd']:.3f}" if row["dice"] == row["dice"] else "-"
    return {
        "system": row["system"],
        "Dice (mean ± sd)": dice,
        "95 % interval": f"{row['dice_low']:.3f} to {row['dice_high']:.3f}" if dice != "-" else "-",
        "HD95 mm": cell(row["hd95_mm"]),
        "folds %": cell(row["folds_percent"]),
        "SDlogJ": cell(row["sdlogj"]),
        "s a pair": cell(row["seconds_a_pair"]),
        **{f"{phase} device-s": cell(row[f"{phase}_device_seconds"]) for phase in _PHASES},
        "total device-s": cell(row["total_device_seconds"]),
        "of these lost": cell(row["wasted_device_seconds"]),
        "cost ratio": cell(row["cost_ratio"]),
    }


def _write(comparison: Comparison, systems: Sequence[System]) -> None:
    output = comparison.output
    output.mkdir(parents=True, exist_ok=True)
    comparison.table.to_csv(output / "compare.csv", index=False)
    (output / "compare.md").write_text(_markdown(comparison), encoding="utf-8")
    (output / "comparison.json").write_text(json.dumps(_as_json(comparison, systems), indent=2), encoding="utf-8")
    curve = png_bytes(quality_against_cost(comparison.curves, comparison.points))
    (output / "compare.png").write_bytes(curve)
    _write_page(comparison, systems, curve)


def _markdown(comparison: Comparison) -> str:
    return "\n".join([as_markdown(comparison.shown()), "", *(f"- {line}" for line in comparison.findings()), ""])


def _as_json(comparison: Comparison, systems: Sequence[System]) -> dict[str, Any]:
    carried = ("command", "seed", "commit", "dataset", "dataset_hash", "mlflow_run_id", "mlflow_tracking_uri")
    return {
        "runs": [{"system": s.name, "folder": str(s.folder), **{k: s.result.get(k) for k in carried}} for s in systems],
        "table": _records(comparison.table),
        "tests": _records(comparison.tests),
        "curves": {name: _records(curve) for name, curve in comparison.curves.items()},
        "points": _records(comparison.points),
        "break_even": _records(comparison.break_even),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; JSON has no NaN."""
    return [{k: None if v != v else v for k, v in row.items()} for row in frame.to_dict("records")]


def _write_page(comparison: Comparison, systems: Sequence[System], curve: bytes) -> None:
    best = comparison.table.sort_values("dice", ascending=False).iloc[0]
    alt = "Validation Dice against device time: " + "; ".join(
        f"{p['system']} {p['value']:.3f} for {cell(p['device_seconds'])} device-seconds"
        for p in comparison.points.to_dict("records")
    )
    pictures = [Picture(curve, alt)]
    boxes = _boxes(systems)
    if boxes["dice"].notna().any():
        alt = f"Test Dice by system; the highest mean is {best['system']} with {best['dice']:.3f}"
        pictures.append(Picture(png_bytes(dice_boxes(boxes)), alt))
    count = len(systems[0].by_pair)
    text = (
        f"{count} test pairs, labels {', '.join(map(str, sorted(systems[0].labels)))} without background. Dice and "
        "HD95 are means over the labels of a pair, then over pairs; the interval is a bootstrap of the mean. "
        f"Costs are relative to {systems[0].name} and include the runs that a system builds on."
    )
    sections = [
        Section("Systems", text=text, table=comparison.shown()),
        Section("Pictures", pictures=pictures),
        Section(f"Against {systems[0].name}", table=comparison.tests),
        Section("Break-even", text="Trials that cost as much as search and training.", table=comparison.break_even),
        *(Section(f"Best of n trials: {name}", table=frame) for name, frame in comparison.curves.items()),
        Section("Runs", facts={s.name: s.folder for s in systems}),
    ]
    filled = [s for s in sections if s.table is None or len(s.table)]
    write_report(comparison.output / "compare.html", title="AutoReg: comparison of systems", sections=filled)


def _boxes(systems: Sequence[System]) -> pd.DataFrame:
    parts = [pd.DataFrame({"system": s.name, "dice": s.by_pair["dice"]}) for s in systems]
    if "initial_dice" in systems[0].by_pair:
        parts.insert(0, pd.DataFrame({"system": INITIAL, "dice": systems[0].by_pair["initial_dice"]}))
    return pd.concat(parts, ignore_index=True)

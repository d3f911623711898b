"""Systems against each other on the same test pairs, and their quality against what they cost."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.files import result_file
from autoreg.reporting.compare_page import TITLE, comparison_sections
from autoreg.reporting.comparison import INITIAL, PHASES, Comparison
from autoreg.reporting.documents import as_markdown
from autoreg.reporting.figures import quality_against_cost, save_png
from autoreg.reporting.html import write_report
from autoreg.reporting.statistics import best_of_n, bootstrap_interval, holm, paired_test
from autoreg.reporting.systems import System, read_systems


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
        before["tre_mm"] = float(first.by_pair.get("initial_tre_mm", pd.Series(dtype=float)).mean())
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
        **{name: float(means.get(name, float("nan"))) for name in ("hd95_mm", "tre_mm", "folds_percent", "sdlogj")},
        "seconds_a_pair": float(system.by_pair["seconds"].median()),  # the first pair is a cold one
        **{f"{phase}_device_seconds": seconds.get(phase, 0.0) for phase in PHASES},
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


def _write(comparison: Comparison, systems: Sequence[System]) -> None:
    output = comparison.output
    texts = {
        "compare.csv": comparison.table.to_csv(index=False),
        "compare.md": _markdown(comparison),
        "comparison.json": json.dumps(_as_json(comparison, systems), indent=2),
    }
    for name, text in texts.items():
        with result_file(output / name) as file:
            file.write(text.encode())
    save_png(quality_against_cost(comparison.curves, comparison.points), output / "compare.png")
    write_report(output / "compare.html", title=TITLE, sections=comparison_sections(comparison, systems))


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

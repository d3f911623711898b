"""The outcome of a comparison, and how it is told."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.reporting.console import as_text, cell, table
from autoreg.reporting.notebook import picture_html

INITIAL = "initial"
"""The row of the pairs as they are, before registration."""

PHASES = ("search", "train", "trials")


@dataclass(frozen=True)
class Comparison:
    """The outcome of `compare_runs`.

    Attributes:
        table: a row a system, the unregistered pairs first; tre_mm is NaN without landmarks.
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
        shown = pd.DataFrame([_shown_row(row) for row in self.table.to_dict("records")])
        return shown if self.table["tre_mm"].notna().any() else shown.drop(columns="TRE mm")

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


def _shown_row(row: dict[str, Any]) -> dict[str, str]:
    dice = f"{row['dice']:.3f} ± {row['dice_sd']:.3f}" if row["dice"] == row["dice"] else "-"
    return {
        "system": row["system"],
        "Dice (mean ± sd)": dice,
        "95 % interval": f"{row['dice_low']:.3f} to {row['dice_high']:.3f}" if dice != "-" else "-",
        "HD95 mm": cell(row["hd95_mm"]),
        "TRE mm": cell(row["tre_mm"]),
        "folds %": cell(row["folds_percent"]),
        "SDlogJ": cell(row["sdlogj"]),
        "s a pair": cell(row["seconds_a_pair"]),
        **{f"{phase} device-s": cell(row[f"{phase}_device_seconds"]) for phase in PHASES},
        "total device-s": cell(row["total_device_seconds"]),
        "of these lost": cell(row["wasted_device_seconds"]),
        "cost ratio": cell(row["cost_ratio"]),
    }
